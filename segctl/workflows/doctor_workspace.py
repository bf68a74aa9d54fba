"""Checks of a workspace: its manifests, its state, the lock of the state, and git."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path

from segctl.backends.holders import describe_holder
from segctl.backends.local import FOLDER, HEAD
from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.core.errors import InvalidInput, OperationError, SegctlError
from segctl.core.git import find_checkout, run_git
from segctl.core.health import Check, Status
from segctl.manifests.declarations import PROJECT_FILE
from segctl.manifests.desired import (
    DesiredState,
    FileSource,
    PostgresSource,
    QuerySource,
)
from segctl.manifests.object_urls import is_url
from segctl.manifests.state_place import StatePlace
from segctl.manifests.workspace import read_state_place, state_folder
from segctl.session.context import Context
from segctl.session.loaded_state import load_head
from segctl.session.open_state import OpenState
from segctl.state.known_states import FILE as LOCK_FILE
from segctl.state.model import State
from segctl.workflows.validate import validate_workspace

_URL_IN_SQL = re.compile(r"\b(?:s3|gs|az)://")


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What is known of a workspace before its state is opened.

    ``needed`` says why it needs an extra, by its name.
    """

    checks: tuple[Check, ...]
    desired: DesiredState | None = None
    place: StatePlace | None = None
    needed: Mapping[str, str] = field(default_factory=dict)


def read_workspace(context: Context, variables: Mapping[str, str]) -> Workspace:
    """Read the manifests and say what they need. Problems are in the checks."""
    topic = "workspace"
    if not (context.root / PROJECT_FILE).exists():
        summary = f"there is no {PROJECT_FILE} in this folder, so no workspace is checked"
        return Workspace(checks=(Check(topic=topic, summary=summary),))
    checks, desired, place = [], None, None
    try:
        loaded = validate_workspace(context, variables=variables, offline=True)
        desired = loaded.desired
        errors = sum(d.severity is Severity.ERROR for d in loaded.diagnostics)
        if desired is None:
            checks.append(_invalid(errors))
        else:
            summary = f"valid, segments: {len(desired.segments):,}, files: {loaded.files:,}"
            checks.append(Check(topic=topic, summary=summary))
        place = read_state_place(context.root, context.env_name)
    except InvalidInput as error:
        checks = checks or [_problem(topic, error)]
    except OperationError as error:
        checks.append(_problem(topic, error))
    needed = _needed_extras(desired, place)
    return Workspace(checks=tuple(checks), desired=desired, place=place, needed=needed)


def _invalid(errors: int) -> Check:
    return Check(
        topic="workspace",
        status=Status.PROBLEM,
        summary=f"the workspace is not valid, errors: {errors}",
        advice="`segctl validate` lists them.",
    )


def _needed_extras(desired: DesiredState | None, place: StatePlace | None) -> dict[str, str]:
    needed: dict[str, str] = {}
    if place and place.url:
        needed["remote"] = "spec.state"
    if place and (place.encryption.key or place.encryption.old_keys):
        needed["encryption"] = "spec.state.encryption"
    for load in desired.loads if desired else ():
        source = load.source
        if isinstance(source, PostgresSource):
            needed.setdefault("postgres", f"the source at {source.location}")
        is_object = isinstance(source, FileSource) and is_url(source.path)
        is_query = isinstance(source, QuerySource) and _URL_IN_SQL.search(source.sql)
        if isinstance(source, FileSource | QuerySource) and (is_object or is_query):
            needed.setdefault("remote", f"the source at {source.location}")
    return needed


def check_connections(desired: DesiredState, environment: Mapping[str, str]) -> Iterator[Check]:
    """Yield a check of each connection: whether its variable is set. Nothing is connected to."""
    for name, connection in sorted(desired.project.connections.items()):
        topic, variable = f"connection {name}", connection.variable
        if environment.get(variable):
            yield Check(topic=topic, summary=f"{variable} is set")
        else:
            yield Check(
                topic=topic,
                status=Status.WARNING,
                summary=f"{variable} is not set",
                advice="A plan that reads this database needs it in the environment.",
            )


def check_state(context: Context, place: StatePlace) -> Iterator[Check]:
    """Yield the checks of the state and of its lock. Reads its head, and writes nothing."""
    try:
        opened = context.open_state()
        opened.check()
        head = load_head(opened.backend)
    except SegctlError as error:
        yield _problem("state", error)
        return
    where, state = opened.name.place, head.state
    if head.version is None:
        yield Check(
            topic="state", summary=f"there is none in {where} yet; the first apply starts it"
        )
    else:
        yield _check_named(opened, state, where)
        yield from _check_times(context, place, state)
    yield _check_lock(opened)


def _check_named(opened: OpenState, state: State, where: str) -> Check:
    summary = f"serial {state.serial}, segments: {len(state.segments):,}, in {where}"
    if opened.known_lineage() == state.lineage:
        return Check(topic="state", summary=f"{summary}; {LOCK_FILE} names it")
    return Check(
        topic="state",
        status=Status.WARNING,
        summary=f"{summary}; {LOCK_FILE} does not name it, so another state would not be noticed",
        advice=f"The next apply writes {LOCK_FILE}. Commit it.",
    )


def _check_times(context: Context, place: StatePlace, state: State) -> Iterator[Check]:
    """Yield a check if the clock is before what the state has recorded."""
    now = context.clock.now()
    month = datetime.fromtimestamp(now, UTC).strftime("%Y-%m")
    later = [usage.month for usage in state.usage if usage.month > month]
    written = None
    if not place.url:
        written = (state_folder(context.root, place) / HEAD).stat().st_mtime
    if later or (written is not None and written > now + 60):
        yield Check(
            topic="clock",
            status=Status.PROBLEM,
            summary="the clock of this machine is before the last change of the state",
            advice="Set the clock: tolerances, freezes and approvals depend on it.",
        )
    else:
        shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        yield Check(topic="clock", summary=f"{shown}, not before the last change of the state")


def _check_lock(opened: OpenState) -> Check:
    holder = opened.backend.lock_holder()
    if holder is None:
        return Check(topic="lock", summary="no run holds it")
    return Check(
        topic="lock",
        status=Status.WARNING,
        summary=describe_holder(holder),
        advice=f"If that run hangs or is gone: `segctl force-unlock {holder.id}`.",
    )


def check_git(context: Context, place: StatePlace) -> Iterator[Check]:
    """Yield the checks of what git has of the workspace and of its state."""
    root = context.root
    checkout = find_checkout(root)
    if checkout is None:
        summary = "the workspace is in no repository, so changes cannot be reviewed"
        yield Check(topic="git", status=Status.WARNING, summary=summary, advice="Run git init.")
        return
    try:
        yield _check_committed(checkout, root)
        if not place.url:
            yield from _check_ignored(checkout, state_folder(root, place))
    except OperationError as error:
        yield _problem("git", error)


def _check_committed(checkout: Path, root: Path) -> Check:
    if not (root / LOCK_FILE).exists():
        return Check(topic="git", summary=f"there is no {LOCK_FILE} yet; the first apply writes it")
    name = (root / LOCK_FILE).resolve().relative_to(checkout).as_posix()
    status = run_git(
        checkout, "--no-optional-locks", "--literal-pathspecs", "status", "--porcelain", "--", name
    )
    if not status:
        return Check(topic="git", summary=f"{LOCK_FILE} is committed")
    return Check(
        topic="git",
        status=Status.WARNING,
        summary=f"{LOCK_FILE} is not committed, or was changed since",
        advice="Commit it: a run elsewhere then refuses another state.",
    )


def _check_ignored(checkout: Path, folder: Path) -> Iterator[Check]:
    """Yield a check of each file of the state that lies in the checkout."""
    for name in (HEAD, FOLDER):
        path = folder.resolve() / name
        if not path.is_relative_to(checkout):
            continue
        # With a slash, the name is that of a folder, which need not exist.
        inside = path.relative_to(checkout).as_posix() + ("/" if name == FOLDER else "")
        if run_git(checkout, "check-ignore", "--no-index", "--", inside) is not None:
            yield Check(topic="git", summary=f"{name} is ignored")
        else:
            yield Check(
                topic="git",
                status=Status.PROBLEM,
                summary=f"git does not ignore {name}, and a state has user keys in full",
                advice=f"Add a line to .gitignore: {name}{'/' if name == FOLDER else ''}",
            )


def _problem(topic: str, error: SegctlError) -> Check:
    summary, advice = error.message, error.hint
    if isinstance(error, InvalidInput) and error.diagnostics:
        first = error.diagnostics[0]
        place = f"{first.location}: " if first.location else ""
        summary, advice = f"{place}{first.summary}", first.detail
    return Check(topic=topic, status=Status.PROBLEM, summary=summary, advice=advice)
