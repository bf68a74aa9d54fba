"""Models of the sources in a manifest: an inline list, a file, a query, a database, a command."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic.config import JsonDict

from segctl.core.normalize import Normalization
from segctl.manifests.base_model import Section
from segctl.manifests.field_types import (
    Count,
    FieldDelimiter,
    Line,
    Name,
    Omittable,
    Percent,
    RegularExpression,
    TableName,
    Text,
    TimeLimit,
    field_error,
)
from segctl.manifests.file_formats import Encoding, Format, infer_format

Column = Annotated[Line, Field(description="The column that holds the members.")]
MemberKind = Annotated[
    Literal["identity", "guid"],
    Field(description="What the members are: identities, or CleverTap's guids."),
]
TableColumn = Annotated[Line, Field(description="With table, the column that holds the members.")]
TableMemberKind = Annotated[
    Literal["identity", "guid"],
    Field(description="With table, what the members are: identities, or CleverTap's guids."),
]
OnInvalid = Annotated[
    Literal["error", "skip"],
    Field(
        description="What a NULL or unusable value does: error stops the plan, skip leaves the "
        "row out and counts it."
    ),
]
MaxInvalidPercent = Annotated[
    Omittable[Percent],
    Field(description="With onInvalid: skip, the share of rows that may be left out."),
]
MinRows = Annotated[
    Omittable[Count],
    Field(description="A source with fewer distinct valid rows stops the plan."),
]
MaxShrinkPercent = Annotated[
    Omittable[Percent],
    Field(
        description="In exclude, intersect and suppress: the share of its rows that the source "
        "may lose between two applies. Without it, 30."
    ),
]
Pattern = Annotated[
    Omittable[RegularExpression],
    Field(
        description="A regular expression for whole values, in the syntax of RE2. Rows with other "
        "values are invalid. Without it, spec.patterns in segctl.yaml counts."
    ),
]
Comments = Annotated[
    Omittable[Literal["#", ""]],
    Field(
        description="In a txt file, '#' drops comments: lines that begin with # and what follows # "
        "after white space. '' takes every line as it is. Without it, such lines are errors."
    ),
]
FileEncoding = Annotated[
    Encoding, Field(description="The encoding of a csv, tsv, jsonl or txt file.")
]
Delimiter = Annotated[
    Omittable[FieldDelimiter],
    Field(description="The character between two values of a csv file. Without it, a comma."),
]
Normalize = Annotated[
    list[Normalization],
    Field(
        description="In exclude, intersect and suppress: the forms in which its values and the "
        "members' are compared. Without them, values are compared as written."
    ),
]

_SQL = "A single SELECT. $NAME is the value of a variable."


class SqlFile(Section):
    """A file with a single SELECT."""

    file: Line = Field(description="The path of the file, relative to the workspace root.")


def _sql_form(value: object) -> str:
    return "<file>" if isinstance(value, dict | SqlFile) else "<text>"


Sql = Annotated[
    Annotated[SqlFile, Tag("<file>")] | Annotated[Text, Tag("<text>")], Discriminator(_sql_form)
]
"""The text of a query, or the file that has it. The text of a file is filled in before."""


def sql_text(sql: SqlFile | str | None) -> str:
    """Return the text of a query, empty for none. That of a file is filled in before."""
    return "" if isinstance(sql, SqlFile) or sql is None else sql


class RowSource(Section):
    """Base class of the sources that read rows.

    Each subclass declares these fields itself, after its own: ``fmt`` writes fields in the order of
    their declaration, and inherited fields would come first.
    """

    if TYPE_CHECKING:
        on_invalid: OnInvalid
        max_invalid_percent: MaxInvalidPercent
        pattern: Pattern
        min_rows: MinRows
        max_shrink_percent: MaxShrinkPercent
        normalize: Normalize

    @model_validator(mode="after")
    def _check_share_has_effect(self) -> Self:
        if self.max_invalid_percent is not None and self.on_invalid == "error":
            raise field_error(
                "no-effect",
                "maxInvalidPercent has no effect without onInvalid: skip.",
                "Add onInvalid: skip, or remove maxInvalidPercent.",
            )
        return self


class DatabaseSource(RowSource):
    """Base class of the sources that read either a SELECT or one column of a table."""

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        fields = self.model_fields_set
        has_sql = "sql" in fields
        if has_sql == ("table" in fields):
            raise field_error(
                "source-form",
                f"{type(self).__name__.lower()} needs exactly one of sql and table.",
                "Remove one of them." if has_sql else "Add one of them.",
            )
        if has_sql and fields & {"column", "kind"}:
            raise field_error(
                "no-effect",
                "column and kind have no effect with sql.",
                "Rename the column in the query: SELECT … AS identity, or AS guid.",
            )
        return self


class File(RowSource):
    """One column of a file, of all files in a folder, or of all files that match a pattern."""

    path: Line = Field(
        description="A file, a folder or a pattern with *, ?, [...] and **, relative to the "
        "workspace root."
    )
    column: Column = "identity"
    kind: MemberKind = "identity"
    format: Omittable[Format] = Field(
        default=None, description="The format. Without it, the file's extension decides."
    )
    comments: Comments = None
    encoding: FileEncoding = "utf-8"
    delimiter: Delimiter = None
    where: dict[Line, Text] = Field(
        default={},
        description="Values of partition columns, which are in folder names such as "
        "day=2026-01-31. Other files are not read.",
    )
    on_invalid: OnInvalid = "error"
    max_invalid_percent: MaxInvalidPercent = None
    pattern: Pattern = None
    min_rows: MinRows = None
    max_shrink_percent: MaxShrinkPercent = None
    normalize: Normalize = Field(default=[])

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        _check_text_settings(self, self.format or infer_format(self.path))
        return self


class Query(RowSource):
    """One SELECT over files, with a column identity or guid, or both with one of them NULL."""

    sql: Sql = Field(description=_SQL)
    on_invalid: OnInvalid = "error"
    max_invalid_percent: MaxInvalidPercent = None
    pattern: Pattern = None
    min_rows: MinRows = None
    max_shrink_percent: MaxShrinkPercent = None
    normalize: Normalize = Field(default=[])


class Postgres(DatabaseSource):
    """Rows of a PostgreSQL database: the result of a SELECT, or one column of a table."""

    connection: Name = Field(
        description="The name of a database under spec.connections in segctl.yaml."
    )
    sql: Omittable[Sql] = Field(default=None, description=_SQL)
    table: Omittable[TableName] = Field(
        default=None, description="A table or view, with its schema: public.users."
    )
    column: TableColumn = "identity"
    kind: TableMemberKind = "identity"
    on_invalid: OnInvalid = "error"
    max_invalid_percent: MaxInvalidPercent = None
    pattern: Pattern = None
    min_rows: MinRows = None
    max_shrink_percent: MaxShrinkPercent = None
    normalize: Normalize = Field(default=[])


class Sqlite(DatabaseSource):
    """Rows of a SQLite database: the result of a SELECT, or one column of a table."""

    path: Line = Field(description="The path of the database file, relative to the workspace root.")
    sql: Omittable[Sql] = Field(default=None, description=_SQL)
    table: Omittable[Line] = Field(default=None, description="A table or view.")
    column: TableColumn = "identity"
    kind: TableMemberKind = "identity"
    on_invalid: OnInvalid = "error"
    max_invalid_percent: MaxInvalidPercent = None
    pattern: Pattern = None
    min_rows: MinRows = None
    max_shrink_percent: MaxShrinkPercent = None
    normalize: Normalize = Field(default=[])


class Command(RowSource):
    """The standard output of a program."""

    run: Annotated[list[Text], Field(min_length=1)] = Field(
        description="The program and its arguments. No shell interprets them."
    )
    format: Format = Field(default="csv", description="The format of the output.")
    column: Column = "identity"
    kind: MemberKind = "identity"
    comments: Comments = None
    encoding: FileEncoding = "utf-8"
    delimiter: Delimiter = None
    timeout_seconds: TimeLimit = Field(
        default=600.0, description="Seconds after which the program is stopped."
    )
    on_invalid: OnInvalid = "error"
    max_invalid_percent: MaxInvalidPercent = None
    pattern: Pattern = None
    min_rows: MinRows = None
    max_shrink_percent: MaxShrinkPercent = None
    normalize: Normalize = Field(default=[])

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        _check_text_settings(self, self.format)
        return self


def _check_text_settings(source: "File | Command", format_: Format | None) -> None:
    """Refuse a setting that the format, if it is known, does not have."""
    if source.delimiter is not None and format_ not in ("csv", None):
        raise field_error(
            "no-effect",
            f"delimiter has no effect in {format_}.",
            "Remove it, or set format: csv.",
        )
    if source.encoding != "utf-8" and format_ == "parquet":
        raise field_error("no-effect", "encoding has no effect in parquet.", "Remove it.")


def _command_form(value: object) -> str:
    return "<settings>" if isinstance(value, dict | Command) else "<run>"


CommandForm = Annotated[
    Annotated[Annotated[list[Text], Field(min_length=1)], Tag("<run>")]
    | Annotated[Command, Tag("<settings>")],
    Discriminator(_command_form),
]
"""A program with its arguments, or a mapping with these and settings."""

_COMMAND = (
    "The output of a program that segctl.yaml allows: a list of the program and its arguments, "
    "or a mapping with this list as run and with settings."
)

_ONE_FORM: JsonDict = {"minProperties": 1, "maxProperties": 1}


class _OneForm(Section):
    """Base class of a source, which has exactly one field."""

    what: ClassVar[str]
    advice_for_several: ClassVar[str]
    model_config = ConfigDict(json_schema_extra=_ONE_FORM)

    @model_validator(mode="after")
    def _check_one_form(self) -> Self:
        if len(self.model_fields_set) != 1:
            *names, last = (field.alias for field in type(self).model_fields.values())
            raise field_error(
                "source-form",
                f"{self.what} needs exactly one of {', '.join(map(str, names))} and {last}.",
                self.advice_for_several if self.model_fields_set else "Add one of them.",
            )
        return self


class MemberSource(_OneForm):
    """Where members come from: exactly one of the fields."""

    what = "a source"
    advice_for_several = "Put each source in its own list item."
    identities: Omittable[list[Text]] = Field(
        default=None, description="Members by the identity that you gave them."
    )
    guids: Omittable[list[Text]] = Field(
        default=None, description="Members by the id that CleverTap gave their device."
    )
    file: Omittable[File] = Field(default=None, description="One column of files.")
    query: Omittable[Query] = Field(default=None, description="A SELECT over files.")
    sqlite: Omittable[Sqlite] = Field(default=None, description="Rows of a SQLite database.")
    postgres: Omittable[Postgres] = Field(
        default=None, description="Rows of a PostgreSQL database."
    )
    command: Omittable[CommandForm] = Field(default=None, description=_COMMAND)
    segment: Omittable[Text] = Field(
        default=None, description="The name of another segment of the workspace: its members."
    )


# Built once here, and not again in each kind of document that has such sources.
MemberSource.model_rebuild()


class TableSource(_OneForm):
    """Where a table comes from: exactly one of the fields."""

    what = "the source of a table"
    advice_for_several = "Keep one of them."
    file: Omittable[File] = Field(default=None, description="Files with a column of members.")
    query: Omittable[Query] = Field(default=None, description="A SELECT over files.")
    sqlite: Omittable[Sqlite] = Field(default=None, description="Rows of a SQLite database.")
    postgres: Omittable[Postgres] = Field(
        default=None, description="Rows of a PostgreSQL database."
    )
    command: Omittable[CommandForm] = Field(default=None, description=_COMMAND)
