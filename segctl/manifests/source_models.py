"""Where members come from, as written: a list in the manifest, or one of the outside sources."""

from typing import Annotated, ClassVar, Literal, Protocol, Self, TypeVar

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic.config import JsonDict

from segctl.manifests.base_model import Section
from segctl.manifests.field_types import (
    Given,
    Line,
    Name,
    Percent,
    TableName,
    Text,
    TimeLimit,
    problem,
)

OnInvalid = Annotated[
    Literal["error", "skip"],
    Field(
        description="What a NULL or empty value does: stop the plan, or be set aside and counted."
    ),
]
MaxInvalidPercent = Annotated[
    Given[Percent],
    Field(description="With onInvalid: skip, the share of rows that may be set aside."),
]


class _Sifted(Protocol):
    """What says of its invalid rows what becomes of them."""

    on_invalid: Literal["error", "skip"]
    max_invalid_percent: float | None


_S = TypeVar("_S", bound=_Sifted)


def _share_needs_skip(source: _S) -> _S:
    if source.max_invalid_percent is not None and source.on_invalid == "error":
        raise problem(
            "no-effect",
            "maxInvalidPercent has no effect without onInvalid: skip.",
            "Add onInvalid: skip, or remove it.",
        )
    return source


def _query_or_table(name: str, given: set[str]) -> None:
    """Check that a database is asked either for the rows of a SELECT or for a table's."""
    if ("sql" in given) == ("table" in given):
        summary = f"{name} has exactly one of sql and table."
        raise problem("source-form", summary, "Keep one of them.")
    if "sql" in given and given & {"column", "kind"}:
        raise problem(
            "no-effect",
            "column and kind have no effect with sql.",
            "Rename the column in the query: SELECT … AS identity, or AS guid.",
        )


class File(Section):
    """One column of a file, of all files in a folder, or of those that a pattern matches."""

    path: Line = Field(
        description="A file, a folder or a pattern with *, ?, [...] and **, relative to the "
        "workspace root."
    )
    column: Line = Field(default="identity", description="The column that holds the members.")
    kind: Literal["identity", "guid"] = Field(
        default="identity", description="What the members are: identities, or CleverTap's guids."
    )
    format: Given[Literal["csv", "tsv", "jsonl", "parquet", "txt"]] = Field(
        default=None, description="The format; by the file's extension where left out."
    )
    where: dict[Line, Text] = Field(
        default={},
        description="Values of partition columns, which folders named such as day=2026-01-31 "
        "have; other files are not read.",
    )
    on_invalid: OnInvalid = "error"
    max_invalid_percent: MaxInvalidPercent = None

    _sifted = model_validator(mode="after")(_share_needs_skip)


class Query(Section):
    """One SELECT over files; gives a column identity or guid, or both with one of them NULL."""

    sql: Text = Field(description="A single SELECT; $NAME is the value of a variable.")
    on_invalid: OnInvalid = "error"
    max_invalid_percent: MaxInvalidPercent = None

    _sifted = model_validator(mode="after")(_share_needs_skip)


class Postgres(Section):
    """Rows of a PostgreSQL database: of a SELECT, or one column of a table."""

    connection: Name = Field(
        description="The name of the database, declared under spec.connections in segctl.yaml."
    )
    sql: Given[Text] = Field(
        default=None, description="A single SELECT; $NAME is the value of a variable."
    )
    table: Given[TableName] = Field(
        default=None, description="A table or view, with its schema: public.users."
    )
    column: Line = Field(
        default="identity", description="The column of the table that holds the members."
    )
    kind: Literal["identity", "guid"] = Field(
        default="identity",
        description="What the members of the table are: identities, or CleverTap's guids.",
    )
    on_invalid: OnInvalid = "error"
    max_invalid_percent: MaxInvalidPercent = None

    _sifted = model_validator(mode="after")(_share_needs_skip)

    @model_validator(mode="after")
    def _one_form(self) -> "Postgres":
        _query_or_table("postgres", self.model_fields_set)
        return self


class Sqlite(Section):
    """Rows of a SQLite database: of a SELECT, or one column of a table."""

    path: Line = Field(description="The path of the database file, relative to the workspace root.")
    sql: Given[Text] = Field(
        default=None, description="A single SELECT; $NAME is the value of a variable."
    )
    table: Given[Line] = Field(default=None, description="A table or view.")
    column: Line = Field(
        default="identity", description="The column of the table that holds the members."
    )
    kind: Literal["identity", "guid"] = Field(
        default="identity",
        description="What the members of the table are: identities, or CleverTap's guids.",
    )
    on_invalid: OnInvalid = "error"
    max_invalid_percent: MaxInvalidPercent = None

    _sifted = model_validator(mode="after")(_share_needs_skip)

    @model_validator(mode="after")
    def _one_form(self) -> "Sqlite":
        _query_or_table("sqlite", self.model_fields_set)
        return self


class Command(Section):
    """What a program writes to its standard output."""

    run: Annotated[list[Text], Field(min_length=1)] = Field(
        description="The program and its arguments; no shell reads them."
    )
    format: Literal["csv", "tsv", "jsonl", "parquet", "txt"] = Field(
        default="csv", description="The format of the output."
    )
    column: Line = Field(default="identity", description="The column that holds the members.")
    kind: Literal["identity", "guid"] = Field(
        default="identity", description="What the members are: identities, or CleverTap's guids."
    )
    timeout_seconds: TimeLimit = Field(
        default=600.0, description="Seconds after which the program is stopped."
    )
    on_invalid: OnInvalid = "error"
    max_invalid_percent: MaxInvalidPercent = None

    _sifted = model_validator(mode="after")(_share_needs_skip)


def _command_form(value: object) -> str:
    return "<settings>" if isinstance(value, dict | Command) else "<run>"


CommandForm = Annotated[
    Annotated[Annotated[list[Text], Field(min_length=1)], Tag("<run>")]
    | Annotated[Command, Tag("<settings>")],
    Discriminator(_command_form),
]
"""A program with its arguments, or that with settings."""


_ONE_FORM: JsonDict = {"minProperties": 1, "maxProperties": 1}


class _Forms(Section):
    """Exactly one of the fields."""

    what: ClassVar[str]
    advice: ClassVar[str]
    model_config = ConfigDict(json_schema_extra=_ONE_FORM)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            *names, last = (field.alias for field in type(self).model_fields.values())
            raise problem(
                "source-form",
                f"{self.what} has exactly one of {', '.join(map(str, names))} and {last}.",
                self.advice,
            )
        return self


class MemberSource(_Forms):
    """Where members come from: exactly one of its fields."""

    what = "a source"
    advice = "Give each its own list item."
    identities: Given[list[Text]] = Field(
        default=None, description="Members by the identity that the customer gave them."
    )
    guids: Given[list[Text]] = Field(
        default=None, description="Members by the id that CleverTap gave their device."
    )
    file: Given[File] = Field(default=None, description="One column of files.")
    query: Given[Query] = Field(default=None, description="A SELECT over files.")
    sqlite: Given[Sqlite] = Field(default=None, description="Rows of a SQLite database.")
    postgres: Given[Postgres] = Field(default=None, description="Rows of a PostgreSQL database.")
    command: Given[CommandForm] = Field(
        default=None,
        description="A program that segctl.yaml allows, whose output is read: its name and "
        "arguments, or these as run among settings.",
    )
    segment: Given[Text] = Field(
        default=None, description="The name of another segment, whose members these are."
    )


class TableSource(_Forms):
    """Where a table comes from: exactly one of its fields."""

    what = "the source of a table"
    advice = "Keep one of them."
    file: Given[File] = Field(default=None, description="Files with a column of members.")
    query: Given[Query] = Field(default=None, description="A SELECT over files.")
    sqlite: Given[Sqlite] = Field(default=None, description="Rows of a SQLite database.")
    postgres: Given[Postgres] = Field(default=None, description="Rows of a PostgreSQL database.")
    command: Given[CommandForm] = Field(
        default=None,
        description="A program that segctl.yaml allows, whose output is read: its name and "
        "arguments, or these as run among settings.",
    )
