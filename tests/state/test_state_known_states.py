"""segctl.lock.yaml is one file for the states of all environments, which runs write at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from segctl.backends.local import LocalBackend
from segctl.core.clock import SystemClock
from segctl.core.disk import Disk
from segctl.session.known_state import StateName, read_known_states, record_known_state
from segctl.state import codec
from segctl.state.model import EMPTY_STATE

NAMES = tuple(f"env-{n}" for n in range(8))


def test_runs_of_several_environments_lose_no_entry(tmp_path: Path) -> None:
    backends = {}
    for name in NAMES:
        folder = tmp_path / name
        folder.mkdir()
        state = replace(EMPTY_STATE, lineage=f"lineage-{name}", serial=1, account="A", host="h")
        (folder / "segctl.state.json").write_bytes(codec.encode(state))
        backends[name] = LocalBackend(folder, clock=SystemClock())

    def record(name: str) -> bool:
        known = StateName(name=name, names=NAMES, address=f"local:{name}", place=name)
        return record_known_state(tmp_path, backends[name], known, disk=Disk())

    for _ in range(5):
        (tmp_path / "segctl.lock.yaml").unlink(missing_ok=True)
        with ThreadPoolExecutor(len(NAMES)) as pool:
            assert all(pool.map(record, NAMES))
        assert {n: s.lineage for n, s in read_known_states(tmp_path).items()} == {
            name: f"lineage-{name}" for name in NAMES
        }
        assert not list(tmp_path.glob(".segctl.lock.yaml.*"))
