"""Copies of stored files: checked before they are used, bounded, and safe to delete."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from segctl.backends.file_cache import FileCache

HOUR = 3600


class Source:
    """Files that can be downloaded, and how often they were."""

    def __init__(self) -> None:
        self.downloads = 0

    def name(self, content: bytes) -> str:
        return f"{hashlib.sha256(content).hexdigest()}-00000001.parquet"

    def fetch(self, cache: FileCache, content: bytes) -> Path:
        def download(file: Path) -> bool:
            self.downloads += 1
            file.write_bytes(content)
            return True

        return cache.fetch(self.name(content), download)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "cache"


def test_a_file_is_downloaded_once(folder: Path, source: Source) -> None:
    for _ in range(3):
        assert source.fetch(FileCache(folder), b"members").read_bytes() == b"members"
    assert source.downloads == 1
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", [b"", b"memberz", b"members and more"])
def test_a_damaged_copy_is_downloaded_again(folder: Path, source: Source, damage: bytes) -> None:
    source.fetch(FileCache(folder), b"members").write_bytes(damage)
    assert source.fetch(FileCache(folder), b"members").read_bytes() == b"members"
    assert source.downloads == 2


def test_the_folder_can_be_deleted_at_any_time(folder: Path, source: Source) -> None:
    path = source.fetch(FileCache(folder), b"members")
    path.unlink()
    folder.rmdir()
    assert source.fetch(FileCache(folder), b"members").read_bytes() == b"members"


def test_a_file_that_is_not_stored_has_no_path(folder: Path, source: Source) -> None:
    path = FileCache(folder).fetch(source.name(b"x"), lambda _: False)
    assert not path.exists()
    assert list(folder.iterdir()) == []


def test_a_download_that_fails_leaves_nothing(folder: Path, source: Source) -> None:
    def fail(file: Path) -> bool:
        file.write_bytes(b"half")
        raise ConnectionError

    with pytest.raises(ConnectionError):
        FileCache(folder).fetch(source.name(b"x"), fail)
    assert list(folder.iterdir()) == []


def test_a_stored_file_is_kept(folder: Path, source: Source, tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    stored.write_bytes(b"members")
    FileCache(folder).keep(source.name(b"members"), stored)
    stored.unlink()
    assert source.fetch(FileCache(folder), b"members").read_bytes() == b"members"
    assert source.downloads == 0


def test_what_was_not_used_for_longest_is_removed_beyond_the_limit(
    folder: Path, source: Source
) -> None:
    cache = FileCache(folder, max_bytes=250)
    for age, letter in ((9, b"a"), (8, b"b"), (7, b"c")):
        path = source.fetch(cache, letter * 100)
        os.utime(path, (time.time() - age * HOUR,) * 2)
    leftover = folder / f".{source.name(b'x')}.0123abcd"
    foreign = folder / "README"
    foreign.write_bytes(b"c")
    os.utime(foreign, (0, 0))
    leftover.write_bytes(b"x")
    os.utime(leftover, (time.time() - 9 * HOUR,) * 2)
    source.fetch(cache, b"d" * 100)
    assert {path.read_bytes()[:1] for path in folder.iterdir()} == {b"c", b"d"}


def test_what_is_in_use_is_kept_beyond_the_limit(folder: Path, source: Source) -> None:
    cache = FileCache(folder, max_bytes=1)
    first, second = source.fetch(cache, b"a" * 100), source.fetch(cache, b"b" * 100)
    assert first.exists()
    assert second.exists()
