"""A workspace and an emulator in the same process, without a network between them."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from segctl.applying.apply import ApplyResult
from segctl.backends.local import LocalBackend
from segctl.core.clock import SystemClock
from segctl.core.disk import Disk
from segctl.core.identity import Kind, SetDigest
from segctl.core.rejects import RejectsResult, RetryResult
from segctl.core.resources import ResourceLimits
from segctl.core.stop_signal import StopSignal
from segctl.emulator.app import create_app
from segctl.plan.model import Change, Plan
from segctl.session.context import Context
from segctl.session.engine_session import engine_session
from segctl.session.loaded_state import recorded_members
from segctl.state.model import SegmentRecord, State
from segctl.workflows.apply import apply_workspace
from segctl.workflows.plan import plan_workspace
from segctl.workflows.rejects import list_quarantined, load_rejects, retry_rejects
from segctl.workflows.state import read_state

URL = "http://127.0.0.1:8787"
ACCOUNT, PASSCODE = "ACC", "secret"


class TestClock(SystemClock):
    """The machine's clock, set forward at will; nobody waits for it."""

    __test__ = False

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.ahead += seconds


@dataclass(kw_only=True)
class Shop:
    """A workspace whose segments are the ones last declared."""

    root: Path
    clock: TestClock = field(default_factory=TestClock)
    disk: Disk = field(default_factory=Disk)

    def __post_init__(self) -> None:
        self.root.mkdir()
        self.app = create_app(accounts={ACCOUNT: PASSCODE}, clock=self.clock.now)
        self.project()

    def project(self, spec: str = "{}") -> None:
        text = f"apiVersion: segctl/v1\nkind: Project\nmetadata: {{name: shop}}\nspec: {spec}\n"
        (self.root / "segctl.yaml").write_text(text, encoding="utf-8")

    def declare(self, name: str, *members: str, key: str = "", more: str = "") -> None:
        """Declare a segment; without members its guards let it become empty."""
        listed = ", ".join(f'"{member}"' for member in members)
        (self.root / f"{name}.yaml").write_text(
            f"apiVersion: segctl/v1\nkind: Segment\nmetadata: {{name: {name}}}\nspec:\n"
            f"  displayName: {name.title()} {key}\n  customerSegmentId: {key or name.upper()}\n"
            "  guards: {maxRemovePercent: 100, allowEmpty: true}\n"
            f"  members: [{{identities: [{listed}]}}]\n{more}",
            encoding="utf-8",
        )

    def undeclare(self, name: str) -> None:
        (self.root / f"{name}.yaml").unlink()

    @property
    def context(self) -> Context:
        return Context(
            root=self.root,
            environment={
                "CLEVERTAP_ACCOUNT_ID": ACCOUNT,
                "CLEVERTAP_PASSCODE": PASSCODE,
                "CLEVERTAP_BASE_URL": URL,
            },
            clock=self.clock,
            chance=lambda: 0.5,
            disk=self.disk,
            transport=httpx.ASGITransport(app=self.app),
        )

    # What segctl does

    def plan(self) -> Plan:
        return plan_workspace(self.context, variables={}).plan

    def change(self, name: str) -> Change:
        return next(c for c in self.plan().changes if c.address == f"segment.{name}")

    def codes(self) -> set[str]:
        return {finding.code for finding in self.plan().findings}

    def apply(self) -> ApplyResult:
        return apply_workspace(
            self.context, variables={}, approve=lambda _: True, stop=StopSignal()
        )

    def load(self, text: str | None = None, *, form: str = "csv") -> RejectsResult:
        """Load a stream: ``text``, or what the emulator exports."""
        file = self.root.parent / f"stream.{form}"
        file.write_text(self.export(form) if text is None else text, encoding="utf-8")
        return load_rejects(self.context, file)

    def retry(self, *targets: str, type_: str | None = None) -> RetryResult:
        return retry_rejects(self.context, targets=targets, type_=type_)

    def listed(self) -> list[tuple[str, str, str]]:
        return [(r.address, r.action, r.value) for r in list_quarantined(self.context)]

    # What is recorded

    @property
    def state(self) -> State:
        return read_state(self.context)

    def record(self, name: str) -> SegmentRecord:
        return self.state.segments[f"segment.{name}"]

    def recorded(self, record: SegmentRecord) -> set[str]:
        """Read a recorded set, whose digest must be that of its members counted anew."""
        backend = LocalBackend(self.root, clock=self.clock)
        with engine_session(ResourceLimits()) as at:
            where = recorded_members(record, backend.file_path)
            assert at.open_engine().digest_recorded(where) == record.members.digest
            engine = at.open_engine()
            engine.set_recorded(0, replace(where, pairs=None), wanted=False)
            engine.diff()
            engine.pack(["k"], counting="strict", settle_seconds=0)
            engine.save(at.scratch / "d")
            found = {name for row in engine.iter_entries(at.scratch / "d") for _, name in row.users}
        pairs = [(Kind.IDENTITY, value) for value in found]
        assert SetDigest.of(pairs) == record.members.digest
        return found

    # What the service holds

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
                return await client.request(method, path, json=body)

        response = asyncio.run(ask())
        assert response.is_success, response.text
        return response

    def export(self, form: str) -> str:
        return self.request("GET", f"/emulator/v1/error-stream?format={form}").text

    def segment_id(self, key: str) -> int:
        segments = self.request("GET", "/emulator/v1/segments").json()
        return int(next(s["ct_segment_id"] for s in segments if s["customer_segment_id"] == key))

    def delete(self, key: str) -> None:
        """Delete a segment as the dashboard does."""
        self.request("DELETE", f"/emulator/v1/segments/{self.segment_id(key)}")

    def members(self, key: str) -> set[str]:
        text = self.request("GET", f"/emulator/v1/segments/{self.segment_id(key)}/members").text
        return {line.split('"')[3] for line in text.splitlines()}

    def changes_sent(self) -> int:
        return int(self.request("GET", "/emulator/v1/stats").json()["membership_changes"])
