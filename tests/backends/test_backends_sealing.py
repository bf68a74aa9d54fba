"""Sealed data is read only as exactly what was sealed, with the key, for the same purpose."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.backends.sealing import (
    KEY_BYTES,
    MAGIC,
    NO_SEALING,
    Sealer,
    UnsealedFiles,
    decode_key,
)
from segctl.core.disk import Disk
from segctl.core.errors import OperationError, StateDamaged

KEY, OTHER = b"k" * KEY_BYTES, b"o" * KEY_BYTES
SEALER = Sealer([KEY], is_sealing=True)
SEGMENT = 64 << 10
sizes = st.sampled_from(
    [0, 1, 100, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 7]
)


@given(size=sizes, byte=st.binary(min_size=1, max_size=1))
def test_what_was_sealed_is_read_back(size: int, byte: bytes) -> None:
    data = byte * size
    sealed = SEALER.seal(data, "head")
    assert SEALER.unseal(sealed, "head", name="x") == data
    assert Sealer([OTHER, KEY]).unseal(sealed, "head", name="x") == data
    assert size < 20 or byte * 20 not in sealed


def test_the_same_data_is_sealed_differently_each_time() -> None:
    assert SEALER.seal(b"a", "head") != SEALER.seal(b"a", "head")


@given(size=sizes, where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_is_noticed(size: int, where: float, flip: int) -> None:
    sealed = bytearray(SEALER.seal(b"x" * size, "head"))
    at = int(where * len(sealed))
    sealed[at] ^= flip
    try:
        found = SEALER.unseal(bytes(sealed), "head", name="x")
    except OperationError:
        return
    # Without its first bytes it is no sealed file any more, and so none of the data is returned.
    assert at < len(MAGIC)
    assert found == bytes(sealed)


@given(size=sizes, cut=st.integers(1, 200_000))
def test_a_sealed_file_that_was_cut_is_noticed(size: int, cut: int) -> None:
    sealed = SEALER.seal(b"x" * size, "head")
    kept = sealed[: max(1, len(sealed) - cut)]
    with pytest.raises(StateDamaged):
        SEALER.unseal(kept, "head", name="x")


def test_segments_cannot_be_moved_left_out_or_repeated() -> None:
    sealed = SEALER.seal(b"a" * SEGMENT + b"b" * SEGMENT + b"c", "head")
    start, size = len(MAGIC) + 8 + 32, SEGMENT + 16
    header, one, two, last = (
        sealed[:start],
        sealed[start : start + size],
        sealed[start + size : start + 2 * size],
        sealed[start + 2 * size :],
    )
    for forged in ((two, one, last), (one, last), (one, one, two, last), (one, two), (last,)):
        with pytest.raises(StateDamaged):
            SEALER.unseal(b"".join((header, *forged)), "head", name="x")


def test_a_file_is_not_taken_for_another_purpose() -> None:
    with pytest.raises(StateDamaged, match="the plan was damaged or changed"):
        SEALER.unseal(SEALER.seal(b"{}", "head"), "plan", name="the plan")


def test_without_the_key_the_error_names_the_key_by_its_id() -> None:
    sealed = SEALER.seal(b"secret", "head")
    for keyless in (NO_SEALING, Sealer([OTHER], is_sealing=True)):
        with pytest.raises(OperationError, match=f"encrypted with the key {SEALER.key_id}"):
            keyless.unseal(sealed, "head", name="the state")


def test_what_is_not_sealed_is_read_unless_that_is_refused() -> None:
    assert SEALER.unseal(b"{}", "head", name="x") == b"{}"
    strict = Sealer([KEY], is_sealing=True, is_enforced=True)
    for data in (b"{}", b""):
        with pytest.raises(OperationError, match="the state is not encrypted"):
            strict.unseal(data, "head", name="the state")
    assert strict.without_enforcement().unseal(b"{}", "head", name="x") == b"{}"
    with pytest.raises(OperationError, match="not encrypted"):
        strict.unseal_line(b'{"type": "sent"}\n', "log", name="the journal")


@given(line=st.binary(max_size=300))
def test_a_line_is_sealed_in_a_line(line: bytes) -> None:
    sealed = SEALER.seal_line(line, "log")
    assert sealed.count(b"\n") == 1
    assert sealed.endswith(b"\n")
    assert SEALER.unseal_line(sealed, "log", name="x") == line
    assert NO_SEALING.seal_line(line, "log") == line


def test_files_are_sealed_and_read_as_copies(tmp_path: Path) -> None:
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(b"members" * 50_000)
    SEALER.seal_file(plain, sealed, "member file", disk=Disk())
    assert b"members" not in sealed.read_bytes()
    assert sealed.stat().st_mode & 0o777 == 0o600
    files = UnsealedFiles(SEALER, tmp_path)
    copy = files.locate(sealed, "member file", name="x")
    assert copy.read_bytes() == plain.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert files.locate(plain, "member file", name="x") == plain


@pytest.mark.parametrize(
    "text", ["", "short", base64.b64encode(b"k" * 31).decode(), "k" * 32, "ä" * 44]
)
def test_a_text_that_is_no_key_is_none(text: str) -> None:
    assert decode_key(text) is None


def test_a_key_is_32_bytes_in_base64() -> None:
    assert decode_key(f" {base64.b64encode(KEY).decode()}\n") == KEY
