"""Digests depend on the bytes of files."""

from pathlib import Path

import pytest

from segctl.sources.content_hash import CHUNK_BYTES, digest_files

SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 5]


@pytest.mark.parametrize("size", SIZES)
def test_a_copy_has_the_same_digest(tmp_path: Path, size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(data[:size])
    digests = digest_files([tmp_path / "one", tmp_path / "two"])
    assert digests[tmp_path / "one"] == digests[tmp_path / "two"]


@pytest.mark.parametrize("position", [0, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES])
def test_every_byte_changes_the_digest(tmp_path: Path, position: int) -> None:
    file, data = tmp_path / "file", bytearray(2 * CHUNK_BYTES + 1)
    file.write_bytes(data)
    before = digest_files([file])
    data[position] = 1
    file.write_bytes(data)
    assert digest_files([file]) != before


def test_zeros_at_the_end_change_the_digest(tmp_path: Path) -> None:
    digests = set()
    for size in SIZES:
        (tmp_path / "file").write_bytes(bytes(size))
        digests |= set(digest_files([tmp_path / "file"]).values())
    assert len(digests) == len(SIZES)


def test_a_file_that_cannot_be_read_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"x")
    digests = digest_files([tmp_path / "gone", tmp_path, tmp_path / "there"])
    assert list(digests) == [tmp_path / "there"]
