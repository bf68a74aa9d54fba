"""``segctl import``: adopt an existing segment."""

from dataclasses import asdict
from typing import Literal

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.json_output import print_facts
from segctl.cli.screen import Screen
from segctl.core.identity import Kind
from segctl.manifests.object_urls import is_url
from segctl.render import state_view
from segctl.workflows.import_segment import MembersFile, import_segment


@click.command("import", epilog="Example: segctl import segment.gold --members gold.csv")
@click.argument("address", metavar="ADDRESS")
@click.option(
    "--members",
    metavar="FILE",
    help="The current members: csv, tsv, jsonl, parquet or txt, also .gz and .zst; a file, a "
    "folder, a pattern, or an object URL.",
)
@click.option(
    "--column", metavar="NAME", default="identity", show_default=True, help="FILE's column."
)
@click.option(
    "--kind",
    type=click.Choice(["identity", "guid"]),
    default="identity",
    show_default=True,
    help="What the column holds.",
)
@click.option(
    "--ct-segment-id",
    type=click.IntRange(min=1),
    metavar="N",
    help="Address it by this id in requests, if it has no customerSegmentId.",
)
@options.as_json
@options.dry_run
@options.lock_timeout
@options.limits
@common
def command(
    screen: Screen,
    *,
    address: str,
    members: str | None,
    column: str,
    kind: Literal["identity", "guid"],
    ct_segment_id: int | None,
    as_json: bool,
    dry_run: bool,
    lock_timeout: float,
) -> None:
    """Adopt a segment that exists in CleverTap. Sends nothing.

    ADDRESS must be declared in the workspace. FILE lists the segment's current
    members, exported from the dashboard or the warehouse; without it the segment is
    recorded as empty. The next plan shows the differences from the manifests.
    """
    file = None
    if members is not None:
        path = members if is_url(members) else str(screen.path(members))
        file = MembersFile(path=path, column=column, kind=Kind(kind))
    done = import_segment(
        screen.context(),
        address if address.startswith("segment.") else f"segment.{address}",
        members=file,
        ct_segment_id=ct_segment_id,
        variables=screen.variables,
        dry_run=dry_run,
        lock_timeout=lock_timeout,
        observe=screen.tell,
    )
    if as_json:
        print_facts(screen, **asdict(done), dry_run=dry_run)
        return
    screen.out(
        state_view.render_import(
            done.address,
            key=done.key,
            members=done.members,
            duplicates=done.duplicates,
            dry_run=dry_run,
        )
    )
