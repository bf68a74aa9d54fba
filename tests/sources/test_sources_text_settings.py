"""Encodings and delimiters of files, and names that DuckDB would misread."""

import gzip
from pathlib import Path

import pytest

from segctl.core.identity import IdentityProblem
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import RecordedFiles, SourceError
from segctl.manifests.file_formats import Encoding
from segctl.sources.path_policy import PathPolicy
from segctl.sources.query import prepare
from tests.sources.source_files import read, scan_files, write_packed

TEXTS = {
    "csv": "identity\r\nZürich\r\n0012\r\n",
    "tsv": "identity\tx\nZürich\t1\n0012\t2\n",
    "txt": "Zürich\n0012",
    "jsonl": '{"identity": "Zürich"}\n{"identity": "0012"}\n',
}
ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-16-be", "latin-1", "gb18030")


def error_of(engine: DuckEngine, root: Path, path: str, **fields: object) -> tuple[str, int]:
    with pytest.raises(SourceError) as caught:
        engine.load(scan_files(root, path, **fields), targets=[0])
    return caught.value.summary, caught.value.line


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "txt", "jsonl"])
def test_a_text_file_may_have_another_encoding(
    engine: DuckEngine, root: Path, encoding: Encoding, kind: str
) -> None:
    write_packed(root / f"m.{kind}", TEXTS[kind.removesuffix(".gz")].encode(encoding))
    rows = scan_files(root, f"m.{kind}", encoding=encoding)
    assert read(engine, rows)[1] == ["0012", "Zürich"]


@pytest.mark.parametrize(
    ("content", "encoding", "summary", "line"),
    [
        (b"identity\na\nb\x81\n", "windows-1252", "the file is not windows-1252", 3),
        ("identity\na\n".encode("utf-16") + b"\n", "utf-16", "the file is not utf-16", 3),
        (b"identity\n", "utf-16",
         "the file has no byte order mark, so its kind of utf-16 is not known", 0),
        ("identity\né\n".encode(), "latin-1", "the file is UTF-8, not latin-1", 0),
        ("identity\né\n".encode("utf-8-sig"), "latin-1",
         "the file is utf-8, not latin-1: it has a byte order mark", 0),
        ("identity\né\n".encode("utf-16"), "utf-8", "the file is text in UTF-16, not a list", 0),
        ("identity\na\n".encode("utf-16-le"), "utf-16-be",
         "the file is utf-16-le, not utf-16-be", 0),
        ("identity\na\n".encode("utf-16-be"), "utf-16-le",
         "the file is utf-16-be, not utf-16-le", 0),
        (b"identity\nab\n", "utf-16-le", "the file is UTF-8, not utf-16-le", 0),
        (b"", "utf-16-le", "the file is empty", 0),
    ],
)  # fmt: skip
def test_a_file_in_another_encoding_is_an_error(  # noqa: PLR0917 - each is a part of the case
    engine: DuckEngine, root: Path, content: bytes, encoding: Encoding, summary: str, line: int
) -> None:
    (root / "m.csv").write_bytes(content)
    assert error_of(engine, root, "m.csv", encoding=encoding) == (summary, line)


def test_errors_and_first_rows_name_the_file_and_not_its_copy(
    engine: DuckEngine, root: Path
) -> None:
    for name, text in (("a", "identity\na\n"), ("b", "identity\nb\nnull\n")):
        (root / f"{name}.csv").write_bytes(text.encode("utf-16"))
    stats, _ = read(engine, scan_files(root, "?.csv", encoding="utf-16"))
    assert stats.first_rows == {IdentityProblem.PLACEHOLDER: 2}
    assert stats.first_files == {IdentityProblem.PLACEHOLDER: root / "b.csv"}


@pytest.mark.parametrize("delimiter", [";", "|", "\t", "^", "§"])
def test_a_csv_file_may_have_another_delimiter(
    engine: DuckEngine, root: Path, delimiter: str
) -> None:
    rows = [["a,b", "identity", ""], ["1", '"a""b\r\nc"', "2"], ["", "0012", ""]]
    (root / "m.csv").write_text("".join(delimiter.join(row) + "\n" for row in rows), newline="")
    stats, members = read(engine, scan_files(root, "m.csv", delimiter=delimiter))
    assert members == ["0012"]
    assert stats.invalid == {IdentityProblem.CONTROL: 1}


@pytest.mark.parametrize(
    ("path", "fields", "summary"),
    [
        ("d", {"delimiter": ";"}, "d: delimiter has no effect in tsv"),
        ("m.parquet", {"encoding": "latin-1"}, "m.parquet: encoding has no effect in parquet"),
    ],
)
def test_a_setting_that_the_format_lacks_is_an_error(
    engine: DuckEngine, root: Path, path: str, fields: dict[str, object], summary: str
) -> None:
    (root / "d").mkdir()
    for name in ("d/m.tsv", "m.parquet"):
        (root / name).touch()
    assert error_of(engine, root, path, **fields)[0] == summary


@pytest.mark.parametrize("name", ["x[1].csv.gz", "a?[!b]*.csv.gz", "day=1/?.csv.gz"])
def test_a_compressed_file_may_have_any_name(engine: DuckEngine, root: Path, name: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(gzip.compress(b"identity\na\n"))
    assert read(engine, scan_files(root, name))[1] == ["a"]
    sql = f"SELECT identity || '-q' AS identity FROM '{name}'"
    engine.load(prepare(sql, {}, PathPolicy(root=root), engine.parse_select), targets=[1])
    engine.set_recorded(1, RecordedFiles(), wanted=True)
    assert engine.diff().targets[1].sample.add == (("identity", "a-q"),)


@pytest.mark.parametrize(
    ("content", "kind", "summary"),
    [
        ("email;plan\n", "csv",
         "contains a semicolon. If it separates values, set delimiter: ';'."),
        ("email\tplan\n", "csv", 'contains a tab. If it separates values, set delimiter: "\\t".'),
        ("email,plan\n", "tsv",
         "contains a comma. If it separates values, set format: csv and delimiter: ','."),
    ],
)  # fmt: skip
def test_a_missing_column_names_the_delimiter_that_the_file_seems_to_have(
    engine: DuckEngine, root: Path, content: str, kind: str, summary: str
) -> None:
    (root / f"m.{kind}").write_text(content)
    with pytest.raises(SourceError) as caught:
        engine.load(scan_files(root, f"m.{kind}"), targets=[0])
    message = f"{caught.value.summary}. {caught.value.detail}"
    assert (
        message == f'the file has no column "identity": its header is a single name that {summary}'
    )


def test_a_key_that_no_line_has_is_an_error_with_the_keys(engine: DuckEngine, root: Path) -> None:
    (root / "m.jsonl").write_text('{"email": "a@x", "plan": 1}\n{"Identity": "b"}\n')
    with pytest.raises(SourceError) as caught:
        engine.load(scan_files(root, "m.jsonl"), targets=[0])
    assert caught.value.summary == 'no line has a value for the key "identity"'
    assert caught.value.detail.startswith("The keys of the first line are: email, plan. Name the")


def test_a_key_that_only_some_lines_have_is_null_in_the_others(
    engine: DuckEngine, root: Path
) -> None:
    (root / "m.jsonl").write_text('{"identity": "a"}\n{"x": 1}\n')
    stats, members = read(engine, scan_files(root, "m.jsonl"))
    assert (members, stats.invalid) == (["a"], {IdentityProblem.NULL: 1})
