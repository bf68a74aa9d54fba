"""Digests of what the manifests say, apart from the data: definitions of segments, and rules.

A definition stays the same while only rows of files and tables change. If it differs, changed data
alone does not explain other members.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from graphlib import TopologicalSorter
from typing import Any

from segctl.core.codec import to_plain
from segctl.manifests.desired import (
    DesiredState,
    Load,
    MemberLoad,
    PostgresSource,
    SegmentSource,
)

_DATA = ("location", "parameters", "sql_file")
"""Values of variables are data: the same query may ask for another day. The text of a query counts,
and not where it is."""

_NOT_MEMBERS = tuple(
    "location path allow_location display_name labels guards allow lifecycle".split()
)
"""Fields of a segment that are compared as attributes, or have no effect."""


def segment_definitions(desired: DesiredState) -> Mapping[str, str]:
    """Return the digest of each segment's definition, by address.

    A definition says how members are computed. It includes those of the segments that are read.
    """
    segments = {segment.address: segment for segment in desired.segments}
    described: dict[str, list[tuple[str, list[Any]]]] = {address: [] for address in segments}
    reads: dict[str, set[str]] = {address: set() for address in segments}
    for load in desired.loads:
        read = load.source.address if isinstance(load.source, SegmentSource) else ""
        for address, description in _describe(desired, load):
            described[address].append((read, description))
            if read:
                reads[address].add(read)
    result: dict[str, str] = {}
    # Manifests with a cycle are refused, so what a segment reads comes first.
    for address in TopologicalSorter(reads).static_order():
        sources = sorted([result.get(read, ""), *rest] for read, rest in described[address])
        settings = _fields_of(segments[address], without=_NOT_MEMBERS)
        result[address] = _digest([desired.project.time_zone, settings, sources])
    return result


def rules_digest(desired: DesiredState) -> str:
    """Return the digest of all rules, in any order."""
    rules = [
        [type(rule).__name__, _fields_of(rule, without=("location",))] for rule in desired.rules
    ]
    return _digest(sorted(_digest(rule) for rule in rules))


def _describe(desired: DesiredState, load: Load) -> Iterator[tuple[str, list[Any]]]:
    """Yield what a source does for each of its segments, by address."""
    source = load.source
    digest = _digest(
        [type(source).__name__, _fields_of(source, without=_DATA), _database(desired, load)]
    )
    if isinstance(load, MemberLoad):
        for address in load.addresses:
            yield address, [digest, load.role]
        return
    values: dict[str, list[str]] = {}
    for value, address in load.segments.items():
        values.setdefault(address, []).append(value)
    for address, own in values.items():
        yield address, [digest, load.segment_column, load.ignore_other_values, sorted(own)]


def _database(desired: DesiredState, load: Load) -> str:
    """Return the variable that names the database of a source, empty if it has none."""
    if not isinstance(load.source, PostgresSource):
        return ""
    return desired.project.connections[load.source.connection].variable


def _fields_of(value: Any, *, without: tuple[str, ...]) -> Mapping[str, Any]:
    return {f.name: getattr(value, f.name) for f in fields(value) if f.name not in without}


def _digest(value: object) -> str:
    text = json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
