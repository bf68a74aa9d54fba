"""``segctl schema``: print a JSON Schema for editors."""

import click

from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.manifests.schema import SchemaName, schema_text


@click.command("schema", epilog="Example: segctl schema manifest > manifest.schema.json")
@click.argument(
    "name",
    metavar="[project|manifest]",
    type=click.Choice(["project", "manifest"]),
    default="manifest",
)
@common
def command(screen: Screen, *, name: SchemaName) -> None:
    """Print a JSON Schema for editors.

    project describes segctl.yaml, manifest (the default) all other documents. Name the file in
    a modeline: # yaml-language-server: $schema=manifest.schema.json
    """
    screen.out(schema_text(name))
