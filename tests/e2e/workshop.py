"""A workspace, a service, and segctl runs between them."""

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from segctl.applying.apply import ApplyResult
from segctl.core.errors import SegctlError
from segctl.core.events import Event
from segctl.core.stop_signal import StopSignal
from segctl.plan.findings import NOTHING_RECORDED
from segctl.plan.model import Finding, Plan
from segctl.session.context import Context
from segctl.workflows.apply import apply_workspace
from segctl.workflows.plan import plan_workspace
from segctl.workflows.saved_plans import SavedPlanName
from tests.clocks import SwiftClock
from tests.documents import check_printed
from tests.e2e.outside_service import ACCOUNT, IN_FLIGHT, PASSCODE, OutsideService, User

SEGCTL = Path(sys.executable).with_name("segctl")
PATIENCE = 60.0


def identities(*values: str) -> set[User]:
    """Return users with these identities."""
    return {("identity", value) for value in values}


def guids(*values: str) -> set[User]:
    """Return users with these guids."""
    return {("guid", value) for value in values}


def segment(name: str, *members: str, spec: str = "") -> str:
    """Write the manifest of a segment with a list of identities; ``spec`` adds lines."""
    lines = [
        "apiVersion: segctl/v1",
        "kind: Segment",
        f"metadata: {{name: {name}}}",
        "spec:",
        f"  displayName: The {name}",
    ]
    if members:
        lines.append(f"  members: [{{identities: [{', '.join(members)}]}}]")
    lines += [f"  {line}" for line in spec.splitlines()]
    return "\n".join(lines) + "\n"


def many(count: int, *, first: int = 0) -> list[str]:
    """Return ``count`` identities."""
    return [f"u{number:06}@example.com" for number in range(first, first + count)]


@dataclass
class Ran:
    """The result of a finished command."""

    code: int
    out: str
    err: str


@dataclass
class Workshop:
    """One workspace with its service. Runs in this process use ``clock`` and ``chance``."""

    root: Path
    scratch: Path
    service: OutsideService
    environment: dict[str, str] = field(default_factory=dict)
    clock: SwiftClock = field(default_factory=SwiftClock)
    in_doubt: int = 0
    sleep: Callable[[float], None] | None = None
    chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - waits

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)
        self.scratch.mkdir(exist_ok=True)
        self.environment |= {
            "CLEVERTAP_ACCOUNT_ID": ACCOUNT,
            "CLEVERTAP_PASSCODE": PASSCODE,
            "CLEVERTAP_BASE_URL": self.service.url,
        }
        self.project()

    # Manifests

    def project(self, spec: str = "{}") -> None:
        """Write ``segctl.yaml``."""
        self.write(
            "segctl.yaml",
            f"apiVersion: segctl/v1\nkind: Project\nmetadata: {{name: shop}}\nspec: {spec}\n",
        )

    def write(self, path: str, content: str | bytes) -> Path:
        """Write a file of the workspace."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def declare(self, *manifests: str) -> None:
        """Replace all manifests by these, in one file."""
        self.write("segments.yaml", "---\n".join(manifests))

    def remove(self, path: str) -> None:
        """Remove a file of the workspace."""
        (self.root / path).unlink()

    # Runs in this process

    def context(self, **environment: str) -> Context:
        """Return the context of a run."""
        return Context(
            root=self.root,
            environment=self.environment | environment,
            clock=self.clock,
            chance=self.chance.random,
            sleep=self.sleep or self.clock.wait,
        )

    def plan(
        self,
        *,
        targets: tuple[str, ...] = (),
        excluded: tuple[str, ...] = (),
        hold: bool = False,
        out: Path | None = None,
        reread: bool = False,
    ) -> Plan:
        """Plan the workspace."""
        return plan_workspace(
            self.context(),
            variables={},
            targets=targets,
            excluded=excluded,
            hold=hold,
            out=out,
            reread=reread,
        ).plan

    def keep(self) -> str:
        """Plan the workspace, keep the plan with the state, and return its digest."""
        kept = plan_workspace(self.context(), variables={}, save=True)
        assert kept.is_kept
        return kept.plan.digest

    def apply(
        self,
        *,
        file: Path | None = None,
        kept: str | None = None,
        approved: str | Path | None = None,
        targets: tuple[str, ...] = (),
        excluded: tuple[str, ...] = (),
        hold: bool = False,
        destroy: bool = False,
        stop: StopSignal | None = None,
        events: list[Event] | None = None,
        max_seconds: float | None = None,
    ) -> ApplyResult:
        """Apply with approval."""
        return apply_workspace(
            self.context(),
            saved=saved_plan(file or kept),
            approved=saved_plan(approved),
            variables={},
            targets=targets,
            excluded=excluded,
            hold=hold,
            destroy=destroy,
            approve=_yes,
            observe=(events if events is not None else []).append,
            stop=stop or StopSignal(),
            max_seconds=max_seconds,
        )

    def apply_until_done(self, *, most: int = 12) -> int:
        """Apply until it succeeds. Return the number of attempts."""
        for turn in range(1, most + 1):
            try:
                self.apply()
            except SegctlError as error:
                last = error
            else:
                return turn
        raise AssertionError(f"not done after {most} applies") from last

    def died(self) -> None:
        """Record what a dead run leaves uncertain."""
        self.service.await_quiet()
        self.in_doubt += self.plan().reasserted

    def check(self) -> None:
        """Assert that the service has no complaints."""
        assert self.service.complaints == []
        assert self.service.error_stream == []
        assert all(most <= IN_FLIGHT for most in self.service.most_in_flight.values())

    def settled(self) -> None:
        """Assert that the next plan is empty and that nothing needless was sent.

        Whoever died in the middle has to send again what may not have arrived; the
        plan after that says how much.
        """
        plan = self.plan()
        assert without_matches(plan) == without_matches(self.plan(reread=True))
        assert plan.is_empty, [c for c in plan.changes if c.action != "no-op"]
        assert (plan.requests.create, plan.requests.update) == (0, 0)
        assert len(self.service.needless()) <= self.in_doubt
        self.check()

    # Runs of the real program

    def process(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start segctl."""
        return subprocess.Popen(
            [SEGCTL, *arguments],
            cwd=self.root,
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> Ran:
        """Run segctl until it ends. An environment variable of ``""`` is left out."""
        with self.process(*arguments, **environment) as process:
            out, err = process.communicate(timeout=PATIENCE)
        check_printed(arguments, out)
        return Ran(process.returncode, out, err)

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        base = {
            key: os.environ[key]
            for key in ("PATH", "HOME", "LANG", "PYTHONPATH")
            if key in os.environ
        }
        coverage = {k: v for k, v in os.environ.items() if k.startswith("COV")}
        given = {**base, **coverage, "TMPDIR": str(self.scratch), **self.environment, **extra}
        return {name: value for name, value in given.items() if value}


def saved_plan(name: str | Path | None) -> SavedPlanName | None:
    """Return the name of a saved plan: a file, or a digest."""
    if isinstance(name, Path):
        return SavedPlanName(text=str(name), file=name)
    return SavedPlanName(text=name, digest=name) if name else None


def _yes(plan: Plan) -> bool:
    del plan
    return True


def tree(root: Path) -> dict[str, tuple[int, int, str]]:
    """Return modification time, mode and content digest of every file and folder below."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [root, *sorted(root.rglob("*"))]
    }


def without_matches(plan: Plan) -> Plan:
    """Return a plan without what is only known of lists whose segments were all read."""
    matches = ("similar-values", "restriction-matches-nobody")
    findings = tuple(f for f in plan.findings if f.code not in matches)
    return replace(plan, findings=findings, restrictions=())


def findings_of(plan: Plan) -> list[Finding]:
    """Return the findings of a plan, except that nothing is recorded."""
    return [finding for finding in plan.findings if finding.code != NOTHING_RECORDED]
