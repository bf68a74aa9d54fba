import errno
import fcntl
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from segctl.core.disk import Disk
from segctl.core.errors import OperationError, StalePlan
from segctl.core.identity import Kind
from segctl.plan import codec
from segctl.plan import file as plan_file
from segctl.plan.model import Action, Change, Plan, Sample
from tests.core.faulty_disk import LOSSES, FaultyDisk, Loss, PowerCut


def plan_of(serial: int) -> Plan:
    sample = Sample(add=((Kind.IDENTITY, "a@example.com"),))
    change = Change(address="segment.gold", action=Action.UPDATE, reason="x", sample=sample)
    return Plan(
        lineage="5f0c",
        serial=serial,
        account=None,
        host="in1.api.clevertap.com",
        workspace_digest="sha256:00",
        digest="sha256:11",
        segctl_version="0.1.0",
        changes=(change,),
    )


PLAN = plan_of(7)
DELTA = b"delta" * 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tfplan"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return scratch


def save(path: Path, plan: Plan = PLAN, *, disk: Disk | None = None) -> None:
    delta = path.with_name("a")
    delta.write_bytes(DELTA)
    plan_file.save_plan(path, plan=plan, delta=delta, disk=disk)


def rewrite(
    path: Path,
    change: Callable[[str, bytes], bytes | None],
    *,
    compression: int = zipfile.ZIP_STORED,
) -> None:
    """Write the zip again with changed contents. ``None`` leaves a file out."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            if (changed := change(name, data)) is not None:
                archive.writestr(name, changed)


def load_error(path: Path, scratch: Path) -> OperationError:
    with pytest.raises(OperationError) as caught:
        plan_file.load_plan(path, scratch=scratch)
    return caught.value


def test_a_plan_is_loaded_as_it_was_saved(path: Path, scratch: Path) -> None:
    save(path)
    loaded = plan_file.load_plan(path, scratch=scratch)
    assert loaded.plan == PLAN
    assert loaded.delta.read_bytes() == DELTA
    assert loaded.delta.parent == scratch


def test_the_plan_can_be_read_alone(path: Path) -> None:
    save(path)
    before = sorted(path.parent.iterdir())
    assert plan_file.read_plan(path) == PLAN
    assert sorted(path.parent.iterdir()) == before


def test_the_same_plan_is_saved_as_the_same_bytes(path: Path) -> None:
    save(path)
    first = path.read_bytes()
    save(path)
    assert path.read_bytes() == first


def test_only_the_owner_can_read_plan_files(path: Path, scratch: Path) -> None:
    before = os.umask(0)
    try:
        save(path)
        loaded = plan_file.load_plan(path, scratch=scratch)
    finally:
        os.umask(before)
    for file in (path, loaded.delta):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_any_zip_tool_can_open_a_plan_file(path: Path) -> None:
    save(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["delta.parquet", "plan.json", "manifest.json"]
        assert archive.read("delta.parquet") == DELTA


@pytest.mark.parametrize("content", [b"", b"hello", b"PK", b"kind: Segment\n" * 1000])
def test_another_file_is_not_a_plan_file(path: Path, scratch: Path, content: bytes) -> None:
    path.write_bytes(content)
    error = load_error(path, scratch)
    assert error.message == f"{path} is not a plan file of segctl"
    assert error.hint == "Make a new plan with `segctl plan --out FILE`."


def test_another_zip_is_not_a_plan_file(path: Path, scratch: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tfplan", b"")
    assert load_error(path, scratch).message == f"{path} is not a plan file of segctl"


def test_a_missing_file_is_an_error_with_its_path(path: Path, scratch: Path) -> None:
    assert load_error(path, scratch).message == (
        f"cannot read the plan file {path}: No such file or directory"
    )


def test_a_folder_is_an_error_with_its_path(path: Path, scratch: Path) -> None:
    path.mkdir()
    assert load_error(path, scratch).message == f"cannot read the plan file {path}: Is a directory"


def test_a_truncated_plan_file_is_refused(path: Path, scratch: Path) -> None:
    save(path)
    whole = path.read_bytes()
    for size in range(4, len(whole)):
        path.write_bytes(whole[:size])
        assert load_error(path, scratch).message == (
            f"the plan file {path} is damaged or was changed: its end is missing or invalid"
        )


def test_a_changed_byte_is_refused_or_has_no_effect(path: Path, tmp_path: Path) -> None:
    save(path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        contents = [archive.read(name) for name in archive.namelist()]
    inside = {whole.index(data) + offset for data in contents for offset in range(len(data))}
    refused = set()
    for offset in range(len(whole)):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 0x55]) + whole[offset + 1 :])
        scratch = tmp_path / f"scratch-{offset}"
        scratch.mkdir()
        try:
            loaded = plan_file.load_plan(path, scratch=scratch)
        except OperationError:
            refused.add(offset)
        else:
            assert loaded.plan == PLAN
            assert loaded.delta.read_bytes() == DELTA
    assert inside <= refused


@pytest.mark.parametrize("name", ["plan.json", "delta.parquet"])
def test_an_edited_file_in_the_zip_is_refused(path: Path, scratch: Path, name: str) -> None:
    save(path)
    rewrite(path, lambda part, data: data.replace(b"a", b"b") if part == name else data)
    assert load_error(path, scratch).message == (
        f"the plan file {path} is damaged or was changed: {name} does not match its SHA-256"
    )


@pytest.mark.parametrize("name", ["plan.json", "delta.parquet"])
def test_a_missing_file_in_the_zip_is_named(path: Path, scratch: Path, name: str) -> None:
    save(path)
    rewrite(path, lambda part, data: None if part == name else data)
    assert load_error(path, scratch).message == (
        f"the plan file {path} is damaged or was changed: {name} is missing"
    )


def test_a_compressed_zip_is_refused(path: Path, scratch: Path) -> None:
    save(path)
    rewrite(path, lambda _, data: data, compression=zipfile.ZIP_DEFLATED)
    assert load_error(path, scratch).message == (
        f"the plan file {path} is damaged or was changed: manifest.json is compressed"
    )


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"version": 1}', b'{"version": 1, "files": []}', b"\xff"]
)
def test_a_broken_manifest_is_refused(path: Path, scratch: Path, content: bytes) -> None:
    save(path)
    rewrite(path, lambda part, data: content if part == "manifest.json" else data)
    assert load_error(path, scratch).message.startswith(
        f"the plan file {path} is damaged or was changed: manifest.json"
    )


@pytest.mark.parametrize("version", [0, codec.VERSION + 1])
def test_another_format_version_is_refused(path: Path, scratch: Path, version: int) -> None:
    save(path)
    manifest = json.dumps({"version": version, "segctl_version": "3.4.0", "files": {}}).encode()
    rewrite(path, lambda part, data: manifest if part == "manifest.json" else data)
    error = load_error(path, scratch)
    assert (
        f"segctl 3.4.0 in format {version}" in error.message
        or "older segctl (3.4.0)" in error.message
    )
    assert isinstance(error, StalePlan) == (version == 0)


def test_names_outside_the_folder_are_ignored(path: Path, scratch: Path) -> None:
    save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../escaped", b"x")
        archive.writestr("/etc/escaped", b"x")
    assert plan_file.load_plan(path, scratch=scratch).plan == PLAN
    assert not (scratch.parent / "escaped").exists()
    assert sorted(file.name for file in scratch.iterdir()) == ["delta.parquet"]


class FullDisk(Disk):
    """A disk with no space left after ``room`` bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return super().write(descriptor, data)


@pytest.mark.parametrize("room", [0, 100, 1500, 1900])
def test_a_full_disk_leaves_the_old_plan_file_and_nothing_else(path: Path, room: int) -> None:
    save(path)
    before = sorted(path.parent.iterdir())
    with pytest.raises(
        OperationError, match=r"^cannot save the plan as .*: No space left on device$"
    ):
        save(path, plan_of(8), disk=FullDisk(room))
    assert plan_file.read_plan(path) == PLAN
    assert sorted(path.parent.iterdir()) == before


def test_a_full_disk_is_not_reported_as_a_damaged_plan(path: Path, scratch: Path) -> None:
    save(path)
    with pytest.raises(
        OperationError, match=r"^cannot write .*delta.parquet: No space left on device$"
    ):
        plan_file.load_plan(path, scratch=scratch, disk=FullDisk(10))


def test_a_plan_is_not_saved_over_a_folder(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OperationError, match=r"^cannot save the plan as .*tfplan: Is a directory$"):
        save(path)
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(".")] == []


@pytest.mark.parametrize("content", [b"apiVersion: segctl/v1", b'{"lineage": ""}', b"PK\3\4"])
def test_a_plan_is_not_saved_over_another_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OperationError) as caught:
        save(path)
    assert caught.value.message == f"{path} already exists and is not a plan file"
    assert (
        caught.value.hint == "Choose another name, or remove the file first. Nothing was written."
    )
    assert path.read_bytes() == content


def test_a_plan_is_not_saved_over_a_pipe_or_a_link(path: Path, tmp_path: Path) -> None:
    os.mkfifo(path)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in (path, tmp_path / "link"):
        with pytest.raises(OperationError, match="already exists and is not a plan file"):
            save(name)
    assert stat.S_ISFIFO(path.lstat().st_mode)


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_plan_is_not_saved_as_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(OperationError, match="Is a directory"):
        plan_file.save_plan(tmp_path / name, plan=PLAN, delta=tmp_path)


def test_a_plan_replaces_an_empty_file_and_an_older_plan(path: Path, scratch: Path) -> None:
    path.touch()
    save(path)
    save(path, plan_of(8))
    assert plan_file.load_plan(path, scratch=scratch).plan == plan_of(8)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_crash_while_saving_leaves_the_old_or_the_new_plan(tmp_path: Path, loss: Loss) -> None:
    for step in range(1, 100):
        spare = tmp_path / str(step) / "spare"
        spare.mkdir(parents=True)
        path = spare.parent / "tfplan"
        save(path)
        disk = FaultyDisk(spare, at=step, loss=loss)
        with suppress(PowerCut):
            save(path, plan_of(8), disk=disk)
        assert plan_file.read_plan(path) in (PLAN, plan_of(8))
        if disk.steps < step:
            assert plan_file.read_plan(path) == plan_of(8)
            return
    raise AssertionError("more than 100 steps")


def test_saving_removes_only_the_temporary_files_of_killed_runs(path: Path) -> None:
    leftover, locked = (
        path.with_name(".tfplan.0123abcd.tmp"),
        path.with_name(".tfplan.4567abcd.tmp"),
    )
    others = [path.with_name(name) for name in (".tfplan.tmp", ".other.0123abcd.tmp", "tfplan.tmp")]
    for file in (leftover, locked, *others):
        file.touch()
    path.with_name(".tfplan.89abcdef.tmp").symlink_to(others[0])
    with locked.open() as locked_file:
        fcntl.flock(locked_file, fcntl.LOCK_EX)
        save(path)
    assert not leftover.exists()
    assert all(file.exists() for file in (locked, *others))


class InterruptedDisk(Disk):
    """A disk that raises ``KeyboardInterrupt`` instead of syncing."""

    def sync(self, descriptor: int) -> None:
        del descriptor
        raise KeyboardInterrupt


def test_an_interrupted_save_leaves_no_file(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        save(path, disk=InterruptedDisk())
    assert sorted(file.name for file in path.parent.iterdir()) == ["a"]


def test_a_large_file_is_copied_in_chunks(path: Path, scratch: Path) -> None:
    large = path.with_name("large")
    large.write_bytes(os.urandom(1000) * 2500)
    plan_file.save_plan(path, plan=PLAN, delta=large)
    with io.BytesIO(path.read_bytes()) as file, zipfile.ZipFile(file) as archive:
        assert archive.getinfo("delta.parquet").compress_type == zipfile.ZIP_STORED
    assert plan_file.load_plan(path, scratch=scratch).delta.read_bytes() == large.read_bytes()
