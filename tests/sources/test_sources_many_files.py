"""Several files as one source: formats, compressions, locations and errors."""

from pathlib import Path

import duckdb
import pytest

from segctl.core.identity import IdentityProblem
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import SourceError
from tests.sources.source_files import KINDS_OF_FILE, read, scan_files, write, write_packed


def error_of(engine: DuckEngine, root: Path, path: str, **fields: object) -> tuple[str, str, str]:
    """Return the file, the summary and the hint of the error that a source raises."""
    with pytest.raises(SourceError) as caught:
        read(engine, scan_files(root, path, **fields))
    file = caught.value.file
    name = file.relative_to(root.resolve()).as_posix() if file else ""
    return name, caught.value.summary, caught.value.detail


@pytest.mark.parametrize("kind", KINDS_OF_FILE)
@pytest.mark.parametrize("path", ["m/a.{}", "m/*.{}", "m/", "m/**/[ab].{}"])
def test_every_format_and_compression_is_read_from_a_file_a_pattern_and_a_folder(
    engine: DuckEngine, root: Path, kind: str, path: str
) -> None:
    write(root / f"m/a.{kind}", ["00004", "é😀"])
    write(root / f"m/b.{kind}", ["b", "00004"])
    stats, members = read(engine, scan_files(root, path.format(kind)))
    several = path != "m/a.{}"
    assert members == (["00004", "b", "é😀"] if several else ["00004", "é😀"])
    assert (stats.rows, stats.duplicates) == ((4, 1) if several else (2, 0))


def test_one_source_may_mix_compressions_and_line_ends(engine: DuckEngine, root: Path) -> None:
    write(root / "a.csv", ["a"])
    write(root / "b.csv.gz", ["b"])
    write(root / "c.csv.zst", ["c"])
    (root / "d.csv").write_bytes(b"identity\r\nd\r\n")
    (root / "e.CSV").write_bytes("\ufeffidentity\ne".encode())
    (root / "f.csv").write_text("identity\n")
    stats, members = read(engine, scan_files(root, "*.[cC]*"))
    assert (stats.rows, members) == (5, ["a", "b", "c", "d", "e"])


def test_each_csv_file_is_read_by_its_own_header(engine: DuckEngine, root: Path) -> None:
    (root / "a.csv").write_text("identity,x\na,1\n")
    (root / "b.csv").write_text('x,"identity",y\n1,b,2\n')
    (root / "c.csv").write_text("x,identity\n1,c\n")
    assert read(engine, scan_files(root, "*.csv"))[1] == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["a b.csv", "it's.csv", "é[1].csv", 'q"*?.csv', "[[x]].csv.gz"])
def test_a_file_name_may_have_any_characters(engine: DuckEngine, root: Path, name: str) -> None:
    write(root / name, ["right"])
    for other in ("é1.csv", 'q".csv', 'q"12.csv', "[x.csv.gz"):
        write(root / other, ["wrong"])
    assert read(engine, scan_files(root, name))[1] == ["right"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.csv", b"", "the file is empty"),
        ("b.csv", b"email\nb\n", 'the file has no column "identity"'),
        ("b.csv", b"identity,identity\nb,b\n", 'the file has two columns named "identity"'),
        ("b.csv", b"identity,x\nb,1,2\n", "a row has more or fewer values than the header"),
        ("b.csv", b"identity\nb\xff\n", "the file is not UTF-8"),
        ("b.jsonl", b'{"identity": "b"}\nx\n', "a line is not valid JSON"),
        ("b.jsonl", b'{"identity": []}\n',
         ('field "identity" has values that are not text: 1 of type ARRAY')),
        ("b.txt", b"b\xff\n", "the file is not UTF-8"),
        ("b.parquet", b"PAR1", "the file is not a Parquet file"),
        ("b.csv.gz", b"identity\nb\n", "the file is not gzip, although its name ends in .gz"),
        ("b.csv.zst", b"", "the file is incomplete: its compressed data ends too early"),
        ("b.csv.zst", b"identity\nb\n", "the file is not zstd, although its name ends in .zst"),
    ],
)  # fmt: skip
def test_the_error_names_the_file_at_fault(
    engine: DuckEngine, root: Path, name: str, content: bytes, message: str
) -> None:
    kind = name.split(".", 1)[1]
    write(root / f"a.{kind}", ["a"])
    write(root / f"c.{kind}", ["c"])
    (root / name).write_bytes(content)
    assert error_of(engine, root, f"*.{kind}")[:2] == (name, message)


def test_parquet_files_with_other_types_keep_their_text(engine: DuckEngine, root: Path) -> None:
    duckdb.sql(f"COPY (SELECT 7::SMALLINT AS identity) TO '{root}/a.parquet'")
    write(root / "b.parquet", ["007"])
    duckdb.sql(f"COPY (SELECT 7000000000 AS identity) TO '{root}/c.parquet'")
    assert read(engine, scan_files(root, "*.parquet"))[1] == ["007", "7", "7000000000"]


def test_a_parquet_column_must_be_text_in_every_file(engine: DuckEngine, root: Path) -> None:
    write(root / "a.parquet", ["a"])
    duckdb.sql(f"COPY (SELECT 7.0 AS identity) TO '{root}/b.parquet'")
    write(root / "c.parquet", ["c"], column="email")
    (root / "d").mkdir()
    write(root / "d/d.parquet", ["d"]).rename(root / "d.parquet")
    file, summary, _ = error_of(engine, root, "[abd].parquet")
    assert (file, summary) == ("b.parquet", 'column "identity" is DECIMAL(2,1), not text')
    file, summary, _ = error_of(engine, root, "[ac].parquet")
    assert (file, summary) == ("c.parquet", 'the file has no column "identity"')


@pytest.mark.parametrize(
    "kind", ["csv.gz", "txt.gz", "jsonl.gz", "csv.zst", "txt.zst", "jsonl.zst"]
)
def test_a_truncated_compressed_file_is_an_error(engine: DuckEngine, root: Path, kind: str) -> None:
    content = write(root / f"a.{kind}", [f"u{n * 7919 % 10007}" for n in range(500)]).read_bytes()
    for cut in {10, len(content) // 2, len(content) - 1, len(content) - 5}:
        (root / f"a.{kind}").write_bytes(content[:cut])
        expected = (
            f"a.{kind}",
            "the file is incomplete: its compressed data ends too early",
            "Write the file again.",
        )
        assert error_of(engine, root, f"a.{kind}") == expected


def test_a_gzip_file_with_a_flipped_bit_is_an_error(engine: DuckEngine, root: Path) -> None:
    path = write(root / "a.txt.gz", [f"u{n * 7919 % 10007}" for n in range(500)])
    packed = bytearray(path.read_bytes())
    packed[len(packed) // 2] ^= 1
    path.write_bytes(packed)
    assert error_of(engine, root, "a.txt.gz")[1] == (
        "the file is damaged: its compressed data is invalid"
    )


@pytest.mark.parametrize("kind", [kind for kind in KINDS_OF_FILE if kind != "parquet"])
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path, root: Path, kind: str) -> None:
    engine = DuckEngine(tmp_path, threads=2)  # with one thread, DuckDB accepts it in JSON
    write(root / f"a.{kind}", ["a", "b"], mark="\ufeff")
    assert read(engine, scan_files(root, f"a.{kind}"))[1] == ["a", "b"]
    engine.close()


def test_concatenated_compressed_files_are_read(engine: DuckEngine, root: Path) -> None:
    for kind in ("txt.gz", "txt.zst"):
        parts = [write(root / f"m/{n}.{kind}", [n, kind]).read_bytes() for n in "ab"]
        (root / f"all.{kind}").write_bytes(b"".join(parts))
    assert read(engine, scan_files(root, "all.*"))[1] == ["a", "b", "txt.gz", "txt.zst"]


def test_the_names_of_all_files_must_imply_one_format(engine: DuckEngine, root: Path) -> None:
    write(root / "m/a.csv", ["a"])
    write(root / "m/b.txt", ["b"])
    assert error_of(engine, root, "m/") == (
        "",
        "m/ contains several formats: m/a.csv is csv, m/b.txt is txt",
        "Use one source for each format, such as a pattern that ends in *.csv.",
    )
    write_packed(root / "m/b.txt", b"identity\nb\n")
    assert read(engine, scan_files(root, "m/", format="csv"))[1] == ["a", "b"]
    (root / "m/README").touch()
    assert error_of(engine, root, "m/*")[1] == (
        "the format of m/README cannot be inferred from its name"
    )


def test_the_first_invalid_row_of_each_kind_is_reported_with_its_file(
    engine: DuckEngine, root: Path
) -> None:
    write(root / "a.txt", ["a", "a", "b"])
    write(root / "b.txt", ["c", " x", "null"])
    write(root / "c.txt", ["null", "y\tz"])
    stats, members = read(engine, scan_files(root, "*.txt"))
    assert (stats.rows, stats.duplicates, members) == (8, 1, ["a", "b", "c"])
    assert stats.first_rows == {
        IdentityProblem.SPACE: 2,
        IdentityProblem.PLACEHOLDER: 3,
        IdentityProblem.CONTROL: 2,
    }
    names = {problem: path.name for problem, path in stats.first_files.items()}
    expected = {
        IdentityProblem.SPACE: "b.txt",
        IdentityProblem.PLACEHOLDER: "b.txt",
        IdentityProblem.CONTROL: "c.txt",
    }
    assert names == expected


def test_a_file_that_vanishes_is_an_error(engine: DuckEngine, root: Path) -> None:
    for kind in ("csv", "parquet"):
        for name in "ab":
            write(root / f"{name}.{kind}", [name])
        rows = scan_files(root, f"*.{kind}")
        (root / f"b.{kind}").unlink()
        with pytest.raises(SourceError) as caught:
            read(engine, rows)
        assert (caught.value.summary, caught.value.file) == (
            "the file no longer exists",
            rows.paths[1],
        )


def test_the_name_of_a_link_determines_its_format(engine: DuckEngine, root: Path) -> None:
    (root / "blobs").mkdir()
    write(root / "a.csv.gz", ["a"]).rename(root / "blobs/4e07408562")
    (root / "a.csv.gz").symlink_to(root / "blobs/4e07408562")
    assert read(engine, scan_files(root, "a.csv.gz"))[1] == ["a"]
