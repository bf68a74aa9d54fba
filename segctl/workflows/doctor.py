"""Check everything that a run depends on. Sends nothing to the service, and changes nothing."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from segctl.core.errors import SegctlError
from segctl.core.health import Check, Status
from segctl.manifests.workspace import state_folder
from segctl.session.context import Context
from segctl.workflows import doctor_machine as machine
from segctl.workflows import doctor_service as service
from segctl.workflows import doctor_workspace as checks


def examine(context: Context, *, variables: Mapping[str, str]) -> tuple[Check, ...]:
    """Return all checks, in and outside of a workspace. An error of one is a problem in it."""
    return tuple(_examine(context, variables))


def _examine(context: Context, variables: Mapping[str, str]) -> Iterator[Check]:
    workspace = checks.read_workspace(context, variables)
    desired, place = workspace.desired, workspace.place
    yield from machine.check_installation(machine.read_requirements(), workspace.needed)
    yield machine.check_memory(context.limits)
    scratch = context.limits.folder or Path(tempfile.gettempdir())
    yield from machine.check_folder("scratch folder", scratch, context.clock, is_state=False)
    yield service.check_credentials(context.environment)
    yield service.check_base_url(
        context.environment,
        desired.project.base_url if desired else "",
        allow_plain_http=bool(desired and desired.project.allow_plain_http),
    )
    yield from service.check_network(context.environment)
    yield from workspace.checks
    if desired:
        yield from checks.check_connections(desired, context.environment)
    if place is None:
        return
    if not place.url:
        folder = state_folder(context.root, place).absolute()
        yield from _catch_errors(
            "state folder",
            lambda: machine.check_folder("state folder", folder, context.clock, is_state=True),
        )
    yield from _catch_errors("state", lambda: checks.check_state(context, place))
    yield from _catch_errors("git", lambda: checks.check_git(context, place))


def _catch_errors(topic: str, run_checks: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """Yield the checks of ``run_checks``, and its error as a check."""
    try:
        yield from run_checks()
    except SegctlError as error:
        yield Check(topic=topic, status=Status.PROBLEM, summary=error.message, advice=error.hint)
    except OSError as error:
        summary = (error.strerror or type(error).__name__).lower()
        yield Check(topic=topic, status=Status.PROBLEM, summary=summary)
