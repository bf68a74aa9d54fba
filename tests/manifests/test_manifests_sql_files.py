"""``sql: {file: PATH}`` counts as the text that the file has."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from segctl.manifests.compile import CompileResult, compile_files
from segctl.manifests.desired import DesiredState, SqlSource
from segctl.manifests.sql_files import MAX_BYTES, UnreadableSqlFile
from tests.manifests.manifest_kit import HEAD, PROJECT, desired_state, messages

SPEC = "spec: {variables: {day: {default: x}}, connections: {crm: {env: CRM}}, suppress: [%s]}\n"
SQL = "SELECT a AS identity FROM 'x.csv' WHERE d = $day"
LARGE = b" " * (MAX_BYTES + 1)

Compile = Callable[..., CompileResult]


def compiled(sql: str, *, form: str = "query", suppress: str = "", **files: bytes) -> CompileResult:
    """Compile a segment whose query is ``sql``, with the contents of ``.sql`` files by name."""

    def read(path: str, allowed: Sequence[str]) -> bytes:
        assert allowed == ()
        if path not in contents:
            raise UnreadableSqlFile("missing-file", f"there is no file {path}", "Look.")
        return contents[path]

    contents = {f"{name}.sql": text for name, text in files.items()}
    fields = {"query": "", "sqlite": "path: c.db, ", "postgres": "connection: crm, "}[form]
    gold = (
        f"{HEAD}metadata: {{name: gold}}\nspec:\n  displayName: Gold\n  members:\n"
        f"    - {form}: {{{fields}sql: {sql}}}\n"
    )
    return compile_files(
        {"segctl.yaml": (PROJECT + SPEC % suppress).encode(), "g.yaml": gold.encode()},
        variables={},
        environment={},
        read_sql=read,
    )


def source(state: DesiredState) -> SqlSource:
    [load] = state.loads
    assert isinstance(load.source, SqlSource)
    return load.source


@pytest.mark.parametrize("form", ["query", "sqlite", "postgres"])
def test_a_file_is_the_same_as_its_text(form: str) -> None:
    of_file = source(desired_state(compiled("{file: q.sql}", form=form, q=SQL.encode())))
    inline = source(desired_state(compiled(f'"{SQL}"', form=form)))
    assert of_file == replace(inline, sql_file="q.sql")
    assert inline.parameters == {"day": "x"}


def test_an_edit_of_the_file_is_another_digest() -> None:
    digests = [
        desired_state(compiled("{file: q.sql}", q=text)).digest
        for text in (b"SELECT 1", b"SELECT 2", b"\xef\xbb\xbfSELECT 1")
    ]
    assert digests[0] != digests[1]
    assert digests[0] == digests[2]


def test_a_byte_order_mark_and_the_line_ends_of_windows_are_no_part_of_it() -> None:
    state = desired_state(compiled("{file: q.sql}", q=b"\xef\xbb\xbfSELECT 1\r\nFROM x\r\n"))
    assert source(state).sql == "SELECT 1\nFROM x\n"


def test_a_file_may_be_in_a_list_of_suppressed_users_and_be_read_for_several_sources() -> None:
    result = compiled(
        "{file: q.sql}", suppress="{query: {sql: {file: q.sql}}}", q=b"SELECT 1 AS identity"
    )
    loads = desired_state(result).loads
    assert [(load.source.sql, load.source.sql_file) for load in loads] == [  # type: ignore[union-attr]
        ("SELECT 1 AS identity", "q.sql")
    ] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "q.sql: error: the file is empty. Write a SELECT."),
        (b"\xef\xbb\xbf \n", "q.sql:1:1: error: the query is blank. Write a SELECT."),
        (b"SELECT\n 'a\xff'", "q.sql:2:4: error: the file is not valid UTF-8. Save it as UTF-8."),
        (
            b"\xff\xfeS\0",
            "q.sql: error: the file is encoded as UTF-16, not UTF-8. Save it as UTF-8.",
        ),
        (b"a\n\0", "q.sql:2:1: error: the file has a NUL character. Remove it."),
        (LARGE, "q.sql: error: a SQL file can have at most 1 MB. Shorten it."),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "q.sql: error: the file is a Git LFS pointer. Run `git lfs pull`.",
        ),
        (
            b"SELECT a\n, '$day' AS identity",
            (
                "q.sql:2:4: error: $day is in quotes, where it is plain text and not the variable. "
                "Write $day without quotes: its value is bound as text."
            ),
        ),
        (
            b"SELECT ${var.day}",
            (
                "q.sql:1:8: error: ${var.day} cannot be used in SQL. Write $day, which is a bound "
                "parameter. Cast it if needed: $day::date."
            ),
        ),
    ],
    ids=range(9),
)
def test_a_problem_with_the_text_is_reported_at_its_place_in_the_file(
    text: bytes, message: str
) -> None:
    assert messages(compiled("{file: q.sql}", q=text)) == [message]


def test_an_undeclared_variable_is_reported_at_its_place_in_the_file() -> None:
    [message] = messages(compiled("{file: q.sql}", q=b"-- $other\nSELECT $dy AS identity"))
    assert message.startswith('q.sql:2:8: error: the variable "dy" is not declared.')


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("{file: no.sql}", ["g.yaml:7:27: error: there is no file no.sql. Look."]),
        ("{file: ''}", ['g.yaml:7:27: error: "file" is blank.']),
        ("{file: a.sql, x: 1}", ['g.yaml:7:34: error: unknown field "x"']),
        ("{}", ['g.yaml:7:20: error: "file" is missing']),
        ("[a]", ['g.yaml:7:20: error: "sql" must be text, but it is a list.']),
    ],
)
def test_a_wrong_form_is_reported_in_the_manifest(sql: str, expected: list[str]) -> None:
    found = messages(compiled(sql))
    assert [m[: len(e)] for m, e in zip(found, expected, strict=True)] == expected


def test_the_path_can_have_a_variable() -> None:
    state = desired_state(compiled('{file: "${var.day}.sql"}', x=b"SELECT 1"))
    assert source(state).sql_file == "x.sql"
