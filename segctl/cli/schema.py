"""``segctl schema``: print the JSON Schema of a document that segctl reads or writes."""

from typing import get_args

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.json_output import print_facts
from segctl.cli.screen import Screen
from segctl.core.errors import WrongUsage
from segctl.manifests.schema import SchemaName, schema_text
from segctl.render import schemas
from segctl.render.json_schema import schema_id

_INPUTS: tuple[SchemaName, ...] = get_args(SchemaName)
NAMES = (*_INPUTS, *schemas.NAMES)
"""All schemas: of what segctl reads, then of what it writes."""


@click.command("schema", epilog="Example: segctl schema plan > plan.schema.json")
@click.argument("name", metavar="[NAME]", type=click.Choice(NAMES), required=False)
@click.option("--list", "as_list", is_flag=True, help="Print the names of the schemas.")
@options.as_json
@common
def command(screen: Screen, *, name: str | None, as_list: bool, as_json: bool) -> None:
    """Print the JSON Schema of a document that segctl reads or writes.

    NAME is one of those that --list prints; project describes segctl.yaml, manifest (the default)
    all other documents of a workspace. For an editor, name the file in a modeline:
    # yaml-language-server: $schema=manifest.schema.json
    """
    if as_list and name:
        raise WrongUsage("--list prints all names; leave NAME out")
    if as_list and as_json:
        print_facts(screen, schemas=[{"name": each, "id": schema_id(each)} for each in NAMES])
    elif as_list:
        screen.out("".join(f"{each}\n" for each in NAMES))
    else:
        screen.out(_text(name or "manifest"))


def _text(name: str) -> str:
    found = next((each for each in _INPUTS if each == name), None)
    return schema_text(found) if found else schemas.schema_text(name)
