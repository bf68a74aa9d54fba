import os
from pathlib import Path

import pytest

from segctl.core.errors import OperationError
from segctl.core.output_file import OutputFile


def test_a_document_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    file = OutputFile(path, option="--x", stream=False)
    assert not path.exists()
    file.commit(b"{}")
    file.close()
    assert path.read_bytes() == b"{}"
    OutputFile(path, option="--x", stream=False).close()
    assert path.read_bytes() == b"{}"
    assert list(tmp_path.iterdir()) == [path]


def test_a_stream_is_under_its_name_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"old": 1}\n' * 3)
    file = OutputFile(path, option="--x", stream=True)
    assert path.read_bytes() == b""
    file.send(b"{}\n")
    assert path.read_bytes() == b"{}\n"
    file.close()


def test_a_file_that_is_not_json_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "gold.yaml"
    path.write_text("kind: Segment\n", encoding="utf-8")
    with pytest.raises(OperationError, match="exists, and is not JSON"):
        OutputFile(path, option="--x", stream=True)
    assert path.read_text(encoding="utf-8") == "kind: Segment\n"


def test_a_pipe_gets_what_is_written(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    file = OutputFile(pipe, option="--x", stream=True)
    file.send(b"{}\n")
    assert os.read(reader, 10) == b"{}\n"
    os.close(reader)
    file.close()


def test_a_pipe_without_a_reader_is_an_error_and_does_not_hang(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OperationError, match="cannot write --x"):
        OutputFile(pipe, option="--x", stream=False)


def test_a_reader_that_leaves_does_not_stop_the_run(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    file = OutputFile(pipe, option="--x", stream=True)
    os.close(reader)
    file.send(b"{}\n")
    file.send(b"{}\n")
    assert isinstance(file.error, BrokenPipeError)
    file.close()
