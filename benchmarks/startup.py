"""Measure what a run costs before it compares anything, next to the least it can cost.

    python -m benchmarks.startup [--runs N] [--members N]

``segctl --help`` runs next to an empty click program, and ``segctl validate`` of a manifest
with many inline members next to libyaml's own parser on the same text.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import store, tables
from benchmarks.machine import Session
from benchmarks.measuring import SEGCTL, Words, measure

EMPTY_CLICK = "import click\n@click.command()\ndef main(): pass\nmain()"
LIBYAML = "import sys, yaml\nyaml.load(open(sys.argv[1]), yaml.CSafeLoader)"

PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: startup}\n"
MANIFEST = (
    "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: gold}\nspec:\n"
    "  displayName: Gold\n  members:\n    - identities:\n"
)


@dataclass(frozen=True, kw_only=True)
class StartupTime:
    """A program and the least it could take: medians, in processor seconds."""

    program: str
    limit: str
    cpu_seconds: float
    limit_cpu_seconds: float


def compare(program: str, command: Words, limit: str, least: Words, *, runs: int) -> StartupTime:
    """Run two commands alternately; processor time, which other work hardly stretches."""
    pairs = [(measure(command).cpu_seconds, measure(least).cpu_seconds) for _ in range(runs)]
    ours, theirs = zip(*pairs, strict=True)
    return StartupTime(
        program=program,
        limit=limit,
        cpu_seconds=round(statistics.median(ours), 4),
        limit_cpu_seconds=round(statistics.median(theirs), 4),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--json", type=Path, default=store.RESULTS, metavar="FOLDER")
    options = parser.parse_args(arguments)
    session = Session()
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder, "gold.yaml")
        members = "".join(f"        - user{n}@example.com\n" for n in range(options.members))
        manifest.write_text(MANIFEST + members, encoding="utf-8")
        Path(folder, "segctl.yaml").write_text(PROJECT, encoding="utf-8")
        found = [
            compare(
                "segctl --help",
                [SEGCTL, "--help"],
                "an empty click program",
                [sys.executable, "-c", EMPTY_CLICK, "--help"],
                runs=options.runs,
            ),
            compare(
                f"segctl validate, {options.members:,} inline members",
                [SEGCTL, "validate", "-C", folder],
                "libyaml parsing the same file",
                [sys.executable, "-c", LIBYAML, manifest],
                runs=options.runs,
            ),
        ]
    print(tables.startup(store.save(options.json, "startup", session, {"startup": found})))


if __name__ == "__main__":
    main()
