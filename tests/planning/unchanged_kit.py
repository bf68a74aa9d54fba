"""A workspace whose applies all go as told, without a service, for tests of what is recognised."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from segctl.core.clock import SystemClock
from segctl.core.outcomes import CreateOutcome, Ledger, Outcome, RequestOutcome
from segctl.manifests.dependencies import needed, rules_about
from segctl.plan.diff import build_drafts
from segctl.plan.model import Plan
from segctl.planning.load import find_sources
from segctl.planning.unchanged import ReadSelection, select_reads
from segctl.session import recording
from segctl.session.advance import ApplyInfo, recognizing
from segctl.session.context import Context, engine_session
from segctl.sources.context import SourceContext
from segctl.sources.path_policy import PathPolicy
from segctl.state.model import State
from segctl.workflows.plan import build_bundle, plan_workspace
from segctl.workflows.state import read_state
from segctl.workflows.validate import load_desired

PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {{name: shop}}\nspec: {spec}\n"


@dataclass
class Place:
    """A workspace at ``root``."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.project()

    def project(self, spec: str = "{}") -> None:
        """Write ``segctl.yaml``."""
        self.write("segctl.yaml", PROJECT.format(spec=spec))

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file of the workspace."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def context(self) -> Context:
        """Give what a run works with."""
        return Context(
            root=self.root,
            environment=self.environment,
            clock=SystemClock(),
            chance=lambda: 0.5,
        )

    def plan(
        self,
        *,
        reread: bool = False,
        targets: tuple[str, ...] = (),
        variables: Mapping[str, str] | None = None,
    ) -> Plan:
        """Plan."""
        return plan_workspace(
            self.context(), variables=variables or {}, targets=targets, reread=reread
        ).plan

    def apply(
        self,
        *,
        lost: Collection[int] = (),
        failed: Collection[int] = (),
        targets: tuple[str, ...] = (),
    ) -> Plan:
        """Apply; the requests with these numbers got no answer, or failed."""
        context = self.context()
        backend = context.backend()
        with (
            backend.lock(command="test", timeout=0.0),
            engine_session(context.limits, backend.scratch_folder()) as at,
        ):
            loaded = recording.recover(backend, at.engine, disk=context.disk, now=1.0)
            made = build_bundle(
                context,
                load_desired(context, {}),
                loaded,
                at,
                targets=targets,
                destroy=False,
                reread=False,
                purpose="save",
            )
            run = ApplyInfo(journal=None, now=1.0, account="A", host=made.plan.host)
            if made.plan.is_empty:
                state = recognizing(loaded.state, made.plan)
            else:
                state = recording.merge_outcomes(
                    loaded,
                    made.plan,
                    _ledger(made.plan, lost, failed),
                    delta=made.delta,
                    engine=at.engine(),
                    keep=lambda scratch, rows: backend.add_file(scratch, rows=rows),
                    run=run,
                )
            recording.write(backend, loaded, state)
        return made.plan

    def recognized(self, *, targets: tuple[str, ...] = ()) -> ReadSelection:
        """Look at the sources, as a plan does before it reads a row."""
        state, desired = self.state, load_desired(self.context(), {})
        drafts = build_drafts(desired.segments, state, patterns=targets)
        planned = {item.address for item in drafts if item.wanted}
        rules = rules_about(desired, planned)
        extra = needed(desired, planned, rules)
        with engine_session(self.context().limits) as desk_:
            at = SourceContext(
                reach=PathPolicy(root=self.root, allowed=desired.project.allowed_folders),
                open_engine=cache(desk_.engine),
                scratch=desk_.scratch,
                environment={},
            )
            return select_reads(
                find_sources(desired, planned | extra.keys(), at, extra),
                drafts,
                state,
                at,
                declared=desired.segments,
                unplanned=extra.keys(),
                rules=rules,
                reread=False,
            )

    @property
    def state(self) -> State:
        """The state as it is recorded."""
        return read_state(self.context())

    def change_state(self, **changes: object) -> None:
        """Change the one segment that is recorded."""
        context = self.context()
        backend = context.backend()
        with (
            backend.lock(command="test", timeout=0.0),
            engine_session(context.limits, backend.scratch_folder()) as at,
        ):
            loaded = recording.recover(backend, at.engine, disk=context.disk, now=1.0)
            [(address, record)] = loaded.state.segments.items()
            record = replace(record, **changes)  # type: ignore[arg-type]  # fields by name
            recording.write(backend, loaded, loaded.state.next(segments={address: record}))


def _ledger(plan: Plan, lost: Collection[int], failed: Collection[int]) -> Ledger:
    def outcome(number: int) -> Outcome:
        if number in lost:
            return Outcome.UNCERTAIN
        return Outcome.FAILED if number in failed else Outcome.ACKNOWLEDGED

    return Ledger(
        updates={
            number: RequestOutcome(outcome=outcome(number), at=1.0)
            for number in range(plan.requests.update)
        },
        creates={
            number: CreateOutcome(outcome=Outcome.ACKNOWLEDGED, at=1.0)
            for number, target in enumerate(plan.targets)
            if target.create
        },
    )
