"""Measure what a run costs before it compares many members, next to the least it can cost.

    python -m benchmarks.startup [--runs N] [--members N] [--segments N]

``segctl --help`` runs next to an empty click program. Manifests with many inline members and
many segments run next to libyaml's own parser on the same text, a plan without changes next to
the parsers of command line and YAML, and a plan with rules next to the same plan without them.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import emulators, store, tables
from benchmarks.emulators import emulator
from benchmarks.machine import Session
from benchmarks.measuring import ROOT, SEGCTL, Words, measure

EMPTY_CLICK = "import click\n@click.command()\ndef main(): pass\nmain()"
LIBYAML = """\
import sys, yaml
for path in sys.argv[1:]:
    list(yaml.load_all(open(path), yaml.CSafeLoader))
"""
CLICK_AND_LIBYAML = f"import click\n{LIBYAML}"

PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: startup}\n"
SEGMENT = (
    "---\napiVersion: segctl/v1\nkind: Segment\nmetadata: {{name: {name}}}\nspec:\n"
    "  displayName: {name}\n  members:\n    - identities:\n"
)
QUICKSTART = ROOT / "examples" / "quickstart"

RULES_OF_SEGMENTS = 5
"""Rules for every three segments."""

MEMBERS_OF_SMALL_SEGMENTS = 20


@dataclass(frozen=True, kw_only=True)
class StartupTime:
    """A program and the least it could take: medians, in seconds and processor seconds."""

    program: str
    limit: str
    seconds: float
    limit_seconds: float
    cpu_seconds: float
    limit_cpu_seconds: float


def compare(
    program: str,
    command: Words,
    limit: str,
    least: Words,
    *,
    runs: int,
    environment: Mapping[str, str] | None = None,
) -> StartupTime:
    """Run two commands alternately; processor time is hardly affected by other work."""
    pairs = [(measure(command, environment=environment), measure(least)) for _ in range(runs)]
    ours, theirs = zip(*pairs, strict=True)
    return StartupTime(
        program=program,
        limit=limit,
        seconds=round(statistics.median(run.seconds for run in ours), 4),
        limit_seconds=round(statistics.median(run.seconds for run in theirs), 4),
        cpu_seconds=round(statistics.median(run.cpu_seconds for run in ours), 4),
        limit_cpu_seconds=round(statistics.median(run.cpu_seconds for run in theirs), 4),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--segments", type=int, default=2_500)
    parser.add_argument("--json", type=Path, default=store.RESULTS, metavar="FOLDER")
    options = parser.parse_args(arguments)
    session = Session()
    with tempfile.TemporaryDirectory() as folder:
        found = [
            compare(
                "segctl --help",
                [SEGCTL, "--help"],
                "an empty click program",
                [sys.executable, "-c", EMPTY_CLICK, "--help"],
                runs=options.runs,
            ),
            _unchanged(Path(folder, "quickstart"), runs=options.runs),
            *_many_members(Path(folder, "members"), options.members, runs=options.runs),
            _many_segments(Path(folder, "segments"), options.segments, runs=options.runs),
            _many_rules(
                Path(folder, "rules"), max(options.segments // 25 * 3, 3), runs=options.runs
            ),
        ]
    print(tables.startup(store.save(options.json, "startup", session, {"startup": found})))


def _unchanged(folder: Path, *, runs: int) -> StartupTime:
    """Measure a plan of the quickstart after it was applied."""
    shutil.copytree(QUICKSTART, folder)
    with emulator() as url:
        service = emulators.environment(url)
        measure([SEGCTL, "apply", "-C", folder, "--auto-approve"], environment=service)
    files = sorted(folder.glob("*.yaml"))
    return compare(
        "segctl plan, quickstart, no changes",
        [SEGCTL, "plan", "-C", folder],
        "click, and libyaml parsing the same files",
        [sys.executable, "-c", CLICK_AND_LIBYAML, *files],
        runs=runs,
        environment=service,
    )


def _many_members(folder: Path, members: int, *, runs: int) -> list[StartupTime]:
    """Measure one segment with many inline members: validated, and planned for the first time."""
    segments = _write_segments(folder, 1, members)
    return [
        compare(
            f"segctl {command}, {members:,} inline members",
            [SEGCTL, command, "-C", folder],
            "libyaml parsing the same file",
            [sys.executable, "-c", LIBYAML, segments],
            runs=runs,
        )
        for command in ("validate", "plan")
    ]


def _many_segments(folder: Path, segments: int, *, runs: int) -> StartupTime:
    """Measure a first plan of many segments with two inline members each."""
    file = _write_segments(folder, segments, 2)
    return compare(
        f"segctl plan, {segments:,} inline segments",
        [SEGCTL, "plan", "-C", folder],
        "libyaml parsing the same file",
        [sys.executable, "-c", LIBYAML, file],
        runs=runs,
    )


def _many_rules(folder: Path, segments: int, *, runs: int) -> StartupTime:
    """Measure a first plan with rules between small segments."""
    ruled, free = folder / "with", folder / "without"
    for each in (ruled, free):
        _write_segments(each, segments, MEMBERS_OF_SMALL_SEGMENTS)
    names = [_segment_name(number) for number in range(segments)]
    pairs = [
        (names[number % segments], names[(number + 1 + number // segments) % segments])
        for number in range(segments * RULES_OF_SEGMENTS // 3)
    ]
    rules = "".join(f"    - disjoint: [{one}, {other}]\n" for one, other in pairs)
    (ruled / "segctl.yaml").write_text(f"{PROJECT}spec:\n  rules:\n{rules}", encoding="utf-8")
    return compare(
        f"segctl plan, {len(pairs)} disjoint rules over {segments} segments",
        [SEGCTL, "plan", "-C", ruled],
        "the same without rules",
        [SEGCTL, "plan", "-C", free],
        runs=runs,
    )


def _write_segments(folder: Path, segments: int, members: int) -> Path:
    """Write a workspace of segments that share no member, and return the file of the segments."""
    folder.mkdir(parents=True)
    (folder / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    file = folder / "segments.yaml"
    with file.open("w", encoding="utf-8") as stream:
        for segment in range(segments):
            stream.write(SEGMENT.format(name=_segment_name(segment)))
            first = segment * members
            stream.writelines(
                f"        - user{number}@example.com\n" for number in range(first, first + members)
            )
    return file


def _segment_name(number: int) -> str:
    return f"s{number:04}"


if __name__ == "__main__":
    main()
