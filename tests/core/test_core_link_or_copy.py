"""A file gets a second name, or a copy where the file system has no hard links."""

import errno
import os
from pathlib import Path

import pytest

from segctl.core.scratch import link_or_copy


@pytest.mark.parametrize("has_links", [True, False])
def test_the_second_file_stays_when_the_first_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    file, second = tmp_path / "rows", tmp_path / "second"
    file.write_bytes(b"rows")
    link_or_copy(file, second)
    file.unlink()
    assert second.read_bytes() == b"rows"
