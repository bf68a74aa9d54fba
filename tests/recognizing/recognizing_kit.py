"""A workspace whose applies all go as told, without a service, for tests of what is recognised."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from segctl import operations, recording
from segctl.clock import SystemClock
from segctl.context import Context, desk
from segctl.loading import find
from segctl.manifests.needs import needed, rules_about
from segctl.outcomes import CreateOutcome, Ledger, Outcome, RequestOutcome
from segctl.plan.diff import draft
from segctl.plan.model import Plan
from segctl.recognizing import Recognized, recognize
from segctl.sources.fetching import Fetching
from segctl.sources.paths import Reach
from segctl.state.advance import Run, recognizing
from segctl.state.model import State

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
        return operations.plan(
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
            desk(context.room, backend.scratch_folder()) as at,
        ):
            held = recording.recover(backend, at.engine, disk=context.disk, now=1.0)
            made = operations._make(
                context,
                operations._desired(context, {}),
                held,
                at,
                targets=targets,
                destroy=False,
                reread=False,
                use="save",
            )
            run = Run(journal=None, now=1.0, account="A", host=made.plan.host)
            if made.plan.is_empty:
                state = recognizing(held.state, made.plan)
            else:
                state = recording.take_in(
                    held,
                    made.plan,
                    _ledger(made.plan, lost, failed),
                    delta=made.delta,
                    engine=at.engine(),
                    keep=lambda scratch, rows: backend.add_file(scratch, rows=rows),
                    run=run,
                )
            recording.write(backend, held, state)
        return made.plan

    def recognized(self, *, targets: tuple[str, ...] = ()) -> Recognized:
        """Look at the sources, as a plan does before it reads a row."""
        state, desired = self.state, operations._desired(self.context(), {})
        drafts = draft(desired.segments, state, patterns=targets)
        planned = {item.address for item in drafts if item.wanted}
        rules = rules_about(desired, planned)
        extra = needed(desired, planned, rules)
        with desk(self.context().room) as desk_:
            at = Fetching(
                reach=Reach(root=self.root, allowed=desired.project.allowed_folders),
                open_engine=cache(desk_.engine),
                scratch=desk_.scratch,
                environment={},
            )
            return recognize(
                find(desired, planned | extra.keys(), at, extra),
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
        return operations.read_state(self.context())

    def change_state(self, **changes: object) -> None:
        """Change the one segment that is recorded."""
        context = self.context()
        backend = context.backend()
        with (
            backend.lock(command="test", timeout=0.0),
            desk(context.room, backend.scratch_folder()) as at,
        ):
            held = recording.recover(backend, at.engine, disk=context.disk, now=1.0)
            [(address, record)] = held.state.segments.items()
            record = replace(record, **changes)  # type: ignore[arg-type]  # fields by name
            recording.write(backend, held, held.state.next(segments={address: record}))


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
