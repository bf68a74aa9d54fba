"""A workspace with simulated applies, for tests of unchanged sources. No service is needed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from segctl.core.clock import SystemClock
from segctl.core.outcomes import CreateOutcome, Ledger, Outcome, RequestOutcome
from segctl.plan.diff import build_drafts
from segctl.plan.model import Plan
from segctl.planning.load import find_sources
from segctl.planning.restrictions import find_known_restrictions
from segctl.planning.scope import build_scope
from segctl.planning.unchanged import ReadSelection, select_reads
from segctl.session.advance import ApplyInfo, record_source_facts
from segctl.session.context import Context
from segctl.session.engine_session import engine_session
from segctl.session.loaded_state import write_head
from segctl.session.merge import merge_outcomes
from segctl.session.recovery import recover_state
from segctl.sources.context import SourceContext
from segctl.sources.path_policy import PathPolicy
from segctl.state.model import State
from segctl.workflows.plan import build_bundle, plan_workspace
from segctl.workflows.state import read_state
from segctl.workflows.validate import load_desired

PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {{name: shop}}\nspec: {spec}\n"


@dataclass
class Workspace:
    """A workspace in the folder ``root``."""

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
        """Return the context of a run in this workspace."""
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
        """Return the plan of this workspace."""
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
        """Build a plan and record its outcomes in the state.

        The requests ``lost`` get no answer, the requests ``failed`` fail, and all others are
        acknowledged.
        """
        context = self.context()
        backend = context.backend()
        with (
            backend.lock(command="test", timeout=0.0),
            engine_session(context.limits, backend.scratch_folder()) as session,
        ):
            loaded = recover_state(backend, session.open_engine, now=1.0)
            bundle = build_bundle(
                context,
                load_desired(context, {}),
                loaded,
                session,
                targets=targets,
                destroy=False,
                reread=False,
                purpose="save",
            )
            run = ApplyInfo(journal=None, now=1.0, account="A", host=bundle.plan.host)
            if bundle.plan.is_empty:
                state = record_source_facts(loaded.state, bundle.plan)
            else:
                state = merge_outcomes(
                    loaded,
                    bundle.plan,
                    _ledger(bundle.plan, lost, failed),
                    delta=bundle.delta,
                    engine=session.open_engine(),
                    store_file=lambda scratch, rows: backend.add_file(scratch, rows=rows),
                    run=run,
                )
            write_head(backend, loaded, state)
        return bundle.plan

    def read_selection(self) -> ReadSelection:
        """Return the segments that a plan would read now."""
        state, desired = self.state, load_desired(self.context(), {})
        drafts = build_drafts(desired.segments, state)
        planned = {draft.address: index for index, draft in enumerate(drafts) if draft.wanted}
        scope = build_scope(desired, planned, first_free_index=len(drafts))
        with engine_session(self.context().limits) as session:
            source_context = SourceContext(
                policy=PathPolicy(root=self.root, allowed=desired.project.allowed_folders),
                open_engine=cache(session.open_engine),
                scratch=session.scratch,
                environment={},
            )
            inputs = find_sources(desired, scope, source_context)
            return select_reads(
                inputs,
                scope,
                drafts,
                state,
                source_context,
                declared=desired.segments,
                restrictions=find_known_restrictions(
                    desired, scope, inputs, state.restrictions, addresses=list(state.segments)
                ),
                reread=False,
            )

    @property
    def state(self) -> State:
        """The recorded state."""
        return read_state(self.context())

    def change_state(self, **changes: object) -> None:
        """Change fields of the only recorded segment."""
        context = self.context()
        backend = context.backend()
        with (
            backend.lock(command="test", timeout=0.0),
            engine_session(context.limits, backend.scratch_folder()) as session,
        ):
            loaded = recover_state(backend, session.open_engine, now=1.0)
            [(address, record)] = loaded.state.segments.items()
            record = replace(record, **changes)  # type: ignore[arg-type]  # fields by name
            write_head(backend, loaded, loaded.state.next(segments={address: record}))


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
