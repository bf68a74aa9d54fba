"""Workspaces under torture, and how state and service are compared with what is expected."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import httpx

from segctl.applying.apply import ApplyResult
from segctl.core.clock import Clock
from segctl.core.disk import Disk
from segctl.core.resources import ResourceLimits
from segctl.core.stop_signal import StopSignal
from segctl.engine.fold import view_recorded
from segctl.plan.model import Plan
from segctl.session.context import Context
from segctl.session.engine_session import engine_session
from segctl.session.load import load_state
from segctl.session.loaded_state import recorded_members
from segctl.state import codec as states
from segctl.state.model import State
from segctl.workflows.apply import apply_workspace
from segctl.workflows.plan import plan_workspace
from segctl.workflows.saved_plans import SavedPlanName
from segctl.workflows.state import move_segment, read_state
from tests.torture.torture_service import Effect, TortureService
from tests.torture.torture_victim import JumpingClock, Order, Report

ROOT = Path(__file__).parents[2]
IN_FLIGHT = 3
READY = 1
"""Requests whose record is on the disk while they wait for a slot; such a one never left."""
PROJECT = """\
apiVersion: segctl/v1
kind: Project
metadata: {name: torture}
spec: {guards: {maxRemovePercent: 100, allowEmpty: true}}
"""

Wanted = Mapping[str, tuple[str, ...]]
"""Who is to be in each segment, by customer segment id."""


def users(start: int, end: int) -> tuple[str, ...]:
    """Return made-up identities."""
    return tuple(f"user-{number:04}@example.com" for number in range(start, end))


def declare(root: Path, wanted: Wanted, *, label: str = "", ids: Mapping[str, str] = {}) -> None:
    """Replace a workspace's manifests.

    ``wanted`` is by name; ``ids`` gives a name a customer segment id of its own.
    """
    root.mkdir(exist_ok=True)
    for old in root.glob("*.yaml"):
        old.unlink()
    (root / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    (root / "members").mkdir(exist_ok=True)
    for name, members in wanted.items():
        lines = "".join(f"{member}\n" for member in members)
        (root / f"members/{name}.csv").write_text(f"identity\n{lines}")
        manifest = {
            "apiVersion": "segctl/v1",
            "kind": "Segment",
            "metadata": {"name": name, "labels": {"team": label} if label else {}},
            "spec": {
                "displayName": f"{name} {ids.get(name, '')}".strip(),
                "customerSegmentId": ids.get(name, name),
                "members": [{"file": {"path": f"members/{name}.csv"}}],
            },
        }
        (root / f"{name}.yaml").write_text(json.dumps(manifest), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the state records about one segment; pairs as (kind, value)."""

    created: bool
    members: frozenset[tuple[str, str]]
    uncertain: frozenset[tuple[str, str]]


@dataclass(kw_only=True)
class Place:
    """A workspace, the scratch folder of its runs, and its service."""

    folder: Path
    service: TortureService
    clock: Clock = field(default_factory=JumpingClock)
    max_uncertain: int = IN_FLIGHT + READY

    def __post_init__(self) -> None:
        for folder in (self.root, self.scratch, self.spare):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def root(self) -> Path:
        return self.folder / "workspace"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    @property
    def spare(self) -> Path:
        return self.folder / "spare"

    @property
    def state_folder(self) -> Path:
        return self.root / "segctl.state.d"

    def context(
        self,
        *,
        disk: Disk | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> Context:
        return Context(
            root=self.root,
            environment=self.service.environment,
            clock=clock or self.clock,
            chance=lambda: 0.5,
            command="segctl apply",
            disk=disk or Disk(),
            transport=transport,
        )

    def apply(
        self,
        *,
        file: Path | None = None,
        destroy: bool = False,
        lock_timeout: float = 0.0,
        stop: StopSignal | None = None,
        **context: Any,
    ) -> ApplyResult:
        return apply_workspace(
            self.context(**context),
            saved=SavedPlanName(text=str(file), file=file) if file else None,
            variables={},
            destroy=destroy,
            lock_timeout=lock_timeout,
            approve=lambda _: True,
            stop=stop or StopSignal(),
        )

    def plan(self, *, out: Path | None = None, destroy: bool = False, reread: bool = False) -> Plan:
        return plan_workspace(
            self.context(), variables={}, destroy=destroy, reread=reread, out=out
        ).plan

    def seen(self) -> dict[str, Seen]:
        """Read the state with its journal folded in, and check the digests."""
        context = self.context()
        with engine_session(ResourceLimits()) as at, duckdb.connect() as db:
            loaded = load_state(context.backend(), at.open_engine, now=context.clock.now())
            where = loaded.recorded()
            told = {}
            for record in records(loaded.state):
                recorded = where[record.key]
                assert at.open_engine().digest_recorded(recorded) == record.members.digest
                view_recorded(db, {0: recorded})
                rows = db.execute("SELECT kind, value FROM recorded").fetchall()
                odd = db.execute("SELECT kind, value FROM pairs WHERE status = 'uncertain'")
                told[record.key] = Seen(
                    created=record.created,
                    members=frozenset(rows),
                    uncertain=frozenset(odd.fetchall()),
                )
                assert len(rows) == len(told[record.key].members) == record.members.digest.count
            if loaded.recovered:
                assert loaded.recovered.uncertain <= self.max_uncertain
        return told

    def paths(self) -> list[str]:
        """List the workspace without the user's files and the state."""
        known = (
            *("segctl.yaml", "segctl.state.json", "segctl.state.d/lock"),
            *("segctl.state.d/.gitignore", "segctl.state.d/latest.json"),
        )
        kept = ("members", "segctl.state.d/members/", "segctl.state.d/history/")
        return sorted(
            name
            for path in self.root.rglob("*")
            if path.is_file() or path.is_symlink() or path.name.startswith(("new-", "done-"))
            if (name := str(path.relative_to(self.root))) not in known
            and name != "segctl.state.d/lock.guard"
            and not name.startswith(kept)
            and not name.endswith((".yaml", ".plan"))
        )


def records(state: State) -> list[Any]:
    """Return all segments of a state, including tombstones."""
    return [*state.segments.values(), *(tombstone.record for tombstone in state.tombstones)]


def check_interrupted(place: Place, *, foreign: frozenset[str] = frozenset()) -> dict[str, Seen]:
    """Check a state after a crash: it claims nothing that did not happen and lost nothing.

    Each pair that is not uncertain is in the state exactly if it is in the service. The state
    may not know the ``foreign`` segments yet.
    """
    memory = place.service.remembered()
    before = snapshot(place.root)
    told = place.seen()
    assert snapshot(place.root) == before
    check_kept_heads(place)
    assert memory.names.keys() - foreign <= told.keys()
    assert {key for key, seen in told.items() if seen.created} <= memory.names.keys()
    for key, seen in told.items():
        wrong = (seen.members ^ memory.members.get(key, set())) - seen.uncertain
        assert not wrong, f"{key}: {len(wrong)} pairs are neither right nor uncertain"
    return told


def check_kept_heads(place: Place) -> None:
    """Check that each earlier head can be read, and has every file that it names."""
    backend = place.context().backend()
    for name in backend.list_history():
        for record in records(states.decode(backend.read_earlier_head(name).data or b"")):
            recorded_members(record, backend.file_path)


def grow_old(place: Place, times: int = 20) -> None:
    """Replace the head ``times`` times without changing members."""
    for number in range(times):
        there = read_state(place.context()).segments
        source = next(address for address in there if address.startswith("segment.gold"))
        move_segment(place.context(), source, f"segment.gold-{number % 2}")
    move_segment(place.context(), f"segment.gold-{number % 2}", "segment.gold")


def check_converged(place: Place, wanted: Wanted) -> None:
    """Check that service, state and manifests agree, and that no files are left over."""
    memory = place.service.remembered()
    expected = {key: {("identity", value) for value in members} for key, members in wanted.items()}
    found = {key: members for key, members in memory.members.items() if members or key in expected}
    assert found == expected
    told = place.seen()
    assert told.keys() == memory.names.keys()
    for key, seen in told.items():
        assert seen == Seen(
            created=True, members=frozenset(memory.members[key]), uncertain=frozenset()
        )
    assert place.plan() == place.plan(reread=True)
    assert place.paths() == []


def check_sent_again(earlier: list[Effect], later: list[Effect], told: Mapping[str, Seen]) -> None:
    """Check that effective changes were sent again only if their outcome was unknown."""
    last = {pair: action for effect in earlier for action, pair in effect.changes}
    for effect in later:
        for action, (segment, kind, value) in effect.changes:
            again = last.get((segment, kind, value)) == action
            assert not again or (kind, value) in told[segment].uncertain


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Return the content of every file in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


# Children


class Victims:
    """The warm process that runs applies in children."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def points(self, place: Place, **order: Any) -> list[str]:
        """Return the points of an apply, run on a copy of the place."""
        memory = place.service.remembered()
        choose = place.service.choose
        with copied(place) as whole:
            report = self.run(whole, **order)
        place.service.become(memory)
        place.service.choose = choose
        assert report is not None
        assert report.ended == "done"
        return report.points

    def run(self, place: Place, **order: Any) -> Report | None:
        """Run one apply in a child. Return ``None`` if it was killed."""
        report = place.folder / "report.json"
        report.unlink(missing_ok=True)
        given = Order(
            root=str(place.root),
            scratch=str(place.scratch),
            spare=str(place.spare),
            report=str(report),
            environment=place.service.environment,
            **order,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(given)) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        if code == -9:
            return None
        assert code == 0, f"the child ended with {code}"
        return Report(**json.loads(report.read_text(encoding="utf-8")))


@contextmanager
def running_victims() -> Iterator[Victims]:
    """Run the warm process for the duration of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.torture.torture_victim"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Victims(process)
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait(timeout=30)
        assert process.stdout
        process.stdout.close()


@contextmanager
def copied(place: Place) -> Iterator[Place]:
    """Yield a copy of a place, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=place.folder.parent))
    try:
        shutil.copytree(place.folder, folder, dirs_exist_ok=True)
        yield Place(folder=folder, service=place.service)
    finally:
        shutil.rmtree(folder)
