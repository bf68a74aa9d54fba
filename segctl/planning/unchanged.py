"""Recognise sources that did not change, so that their rows are not read again.

A segment is settled where its sources, by their content, are known to come to the very
members that are recorded, and no pair of it is open.  Comparing them would find no
change, and what else a plan tells of their rows was noted with the state.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from segctl.core.errors import InvalidInput
from segctl.core.fingerprints import Basis, SourceCounts, fingerprint, of_segment
from segctl.core.identity import Problem, SetDigest
from segctl.engine.base import (
    CheckedQuery,
    CopiedRows,
    FileScan,
    InlineRows,
    LoadStats,
    Rows,
    SourceError,
)
from segctl.manifests.dependencies import named
from segctl.manifests.desired import (
    DesiredSegment,
    FileSource,
    Load,
    MemberLoad,
    Rule,
    SegmentSource,
    TableLoad,
)
from segctl.plan.diff import Draft
from segctl.planning.load import SourceInput, source_diagnostic
from segctl.sources.content_hash import Contents
from segctl.sources.context import SourceContext
from segctl.sources.path_policy import PathPolicy
from segctl.state.model import SegmentRecord, State

_NO_SAY = frozenset(
    "address display_name customer_segment_id labels managed guards lifecycle location".split()
)
"""What is declared of a segment without a say in who is in it; anything else counts."""


@dataclass(frozen=True, kw_only=True)
class ReadSelection:
    """What is known of the sources of a plan before a row is read.

    ``sources`` gives the fingerprint of each feed by its content, ``None`` where that
    cannot be told, and ``segments`` that of everything a segment's members come from,
    where all of it can.  Members are read of the segments ``read``, and compared with
    those recorded where they are planned; ``rules`` are those to judge on them.  All
    others are ``settled``: by address, what is known of their members.
    """

    segments: Mapping[str, str]
    sources: Sequence[str | None]
    read: frozenset[str]
    rules: tuple[Rule, ...]
    settled: Mapping[str, Basis]
    _seen: "_Seen"

    @property
    def feeds(self) -> Sequence[SourceInput]:
        """All sources of the segments that are looked at."""
        return self._seen.feeds

    def check_unchanged(self) -> None:
        """Look at the files that were read again; raises ``InvalidInput`` where one changed.

        Nobody can tell what was read of it: half of its rows, or half of a value.
        """
        seen = self._seen
        feeds = [feed for feed in seen.feeds if self.read & feed.roles.keys()]
        # What was copied for this run nobody else can change, and the engine removes it.
        looked_at = [feed for feed in feeds if not isinstance(feed.rows, CopiedRows)]
        now = seen.reach.contents(file for feed in looked_at for file in row_files(feed.rows))
        problems = [
            source_diagnostic(feed.load, changed_file_error(file), seen.reach)
            for feed in looked_at
            for file in row_files(feed.rows)
            if now.get(file) != seen.contents.get(file)
        ]
        if problems:
            raise InvalidInput(problems)

    def stats(self, read: Mapping[int, LoadStats]) -> Mapping[int, LoadStats]:
        """Give what every feed holds: as ``read``, by place, or as it was noted.

        What was read for some of a feed's segments alone does not tell of all its rows.
        """
        found = dict(read)
        unread = self._seen.planned.keys() | self._seen.unplanned
        for place, feed in enumerate(self._seen.feeds):
            noted = self._seen.state.sources.get(self.sources[place] or "")
            if noted and (unread - self.read) & feed.roles.keys():
                found[place] = LoadStats(
                    rows=noted.rows,
                    duplicates=noted.duplicates,
                    invalid={Problem(problem): rows for problem, rows in noted.invalid.items()},
                    others_rows=noted.others,
                )
        return found

    def counts(self, stats: Mapping[int, LoadStats]) -> Mapping[str, SourceCounts]:
        """Give what to note of every feed that can be recognised again, by fingerprint."""
        return {
            found: source_counts(stats[place])
            for place, found in enumerate(self.sources)
            if found is not None and place in stats
        }

    def holding(self, rules: Iterable[Rule], broken: Collection[Rule]) -> tuple[str, ...]:
        """Give the fingerprints of the ``rules`` that hold, but for those ``broken``."""
        found = (_of_rule(rule, self.segments) for rule in rules if rule not in broken)
        return tuple(sorted({rule for rule in found if rule is not None}))


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a plan looks at: the feeds and their files, for planned segments and for others."""

    feeds: Sequence[SourceInput]
    contents: Contents
    reach: PathPolicy
    planned: Mapping[str, Draft]
    unplanned: Collection[str]
    declared: Mapping[str, DesiredSegment]
    state: State

    def fed(self) -> Mapping[str, list[tuple[str, int]]]:
        """Give for each segment what feeds do for it, and their places."""
        found: dict[str, list[tuple[str, int]]] = {
            address: [] for address in (*self.planned, *self.unplanned)
        }
        for place, feed in enumerate(self.feeds):
            for address, role in feed.roles.items():
                if address in found:
                    found[address].append((role, place))
        return found

    def reading(self) -> Mapping[str, set[str]]:
        """Give for each segment those whose members are sources of it."""
        found: dict[str, set[str]] = {a: set() for a in (*self.planned, *self.unplanned)}
        for feed in self.feeds:
            if isinstance(feed.load.source, SegmentSource):
                for address in feed.roles.keys() & found.keys():
                    found[address].add(feed.load.source.address)
        return found


def select_reads(
    feeds: Sequence[SourceInput],
    drafts: Iterable[Draft],
    state: State,
    at: SourceContext,
    *,
    declared: Iterable[DesiredSegment],
    unplanned: Collection[str],
    rules: Iterable[Rule],
    reread: bool,
) -> ReadSelection:
    """Look at the content of all files of the feeds, and at what the state knows of it.

    ``unplanned`` segments are looked at since planned ones read them, or ``rules`` name
    them.  All members are read where ``reread``.
    """
    seen = _Seen(
        feeds=feeds,
        contents=at.reach.contents(file for feed in feeds for file in row_files(feed.rows)),
        reach=at.reach,
        planned={draft.address: draft for draft in drafts if draft.wanted},
        unplanned=unplanned,
        declared={segment.address: segment for segment in declared},
        state=state,
    )
    sources = [_of_feed(feed, seen, at) for feed in feeds]
    segments = _of_segments(seen, sources)
    known = {} if reread else _known(seen, sources, segments)
    holding = () if reread else state.rules
    open_rules = tuple(rule for rule in rules if _of_rule(rule, segments) not in holding)
    read = _closed({*seen.planned.keys() - known, *_named(open_rules)}, seen)
    return ReadSelection(
        segments=segments,
        sources=sources,
        read=read,
        rules=open_rules,
        settled={address: basis for address, basis in known.items() if address not in read},
        _seen=seen,
    )


def file_fingerprint(source: FileSource, scan: FileScan, reach: PathPolicy) -> str | None:
    """Give the fingerprint of files that fill a segment, ``None`` where they cannot be read.

    It is that of the same content in files of any other name.
    """
    contents = reach.contents(scan.paths)
    if len(contents) < len(scan.paths):
        return None
    told = _told(scan, contents)
    return told and _of_load(MemberLoad(source=source, addresses=()), told, {})


def single_source_basis(source: str, members: SetDigest) -> Basis:
    """Say that the members of a segment came from this source alone."""
    return Basis(sources=of_segment({}, [("include", source)]), members=members)


def changed_file_error(file: Path | None = None) -> SourceError:
    """Say that somebody wrote to a file, or put another in its place, while it was read."""
    error = SourceError(
        "changed-file",
        "the file was changed while it was read",
        "Run the same command again once it is written.",
    )
    error.file = file
    return error


def source_counts(stats: LoadStats) -> SourceCounts:
    """Give what is noted of a source; what only an error would tell is left out."""
    return SourceCounts(
        rows=stats.rows,
        duplicates=stats.duplicates,
        invalid={str(problem): rows for problem, rows in sorted(stats.invalid.items())},
        others=stats.others_rows,
    )


def row_files(rows: Rows | None) -> tuple[Path, ...]:
    """Give the files that rows are read from."""
    match rows:
        case FileScan(paths=files) | CheckedQuery(files=files):
            return files
        case CopiedRows(path=file):
            return (file,)
        case _:
            return ()


# What can be left alone


def _known(
    seen: _Seen, sources: Sequence[str | None], segments: Mapping[str, str]
) -> Mapping[str, Basis]:
    """Give the planned segments whose sources are known to come to what is recorded."""
    noted = {place for place, found in enumerate(sources) if found in seen.state.sources}
    noted |= {n for n, f in enumerate(seen.feeds) if isinstance(f.load.source, SegmentSource)}
    fed = seen.fed()
    return {
        address: record.basis
        for address, draft in seen.planned.items()
        if (record := draft.record)
        and record.basis
        and record.basis.sources == segments.get(address)
        and all(place in noted for _, place in fed[address])
        and _is_as_known(record)
    }


def _is_as_known(record: SegmentRecord) -> bool:
    """Tell whether every pair is answered, and the members are those that the sources came to."""
    same = record.basis is not None and record.basis.members == record.members.digest
    return same and record.created and not record.missing and not record.pairs.file


def _named(rules: Iterable[Rule]) -> set[str]:
    return {address for rule in rules for address in named(rule)}


def _closed(read: set[str], seen: _Seen) -> frozenset[str]:
    """Add the segments whose members are sources of those that are read."""
    reading = seen.reading()
    todo = list(read)
    while todo:
        more = reading[todo.pop()] - read
        read |= more
        todo += more
    return frozenset(read)


# Fingerprints


def _of_segments(seen: _Seen, sources: Sequence[str | None]) -> Mapping[str, str]:
    """Give the fingerprint of everything that each segment's members are computed from."""
    fed = seen.fed()
    found: dict[str, str] = {}
    # Segments whose members are sources come first; there are no circles.
    for address in TopologicalSorter(seen.reading()).static_order():
        told: list[tuple[str, str | None]] = []
        for role, place in fed[address]:
            source = seen.feeds[place].load.source
            if isinstance(source, SegmentSource):
                told.append((role, found.get(source.address)))
            else:
                told.append((role, sources[place]))
        whole = [(role, content) for role, content in told if content is not None]
        if len(whole) == len(told):
            found[address] = of_segment(_settings(seen.declared[address]), whole)
    return found


def _settings(segment: DesiredSegment) -> Mapping[str, Any]:
    """Give what is declared of a segment, beside its sources, that has a say in its members."""
    settings = {f.name: (getattr(segment, f.name), f.default) for f in fields(segment)}
    return {
        name: value
        for name, (value, default) in settings.items()
        if name not in _NO_SAY and value != default
    }


def _of_rule(rule: Rule, segments: Mapping[str, str]) -> str | None:
    """Give the fingerprint of a rule and of the members that it is about, where they have one."""
    about = [segments.get(address) for address in named(rule)]
    if None in about:
        return None
    said = {f.name: getattr(rule, f.name) for f in fields(rule)}
    for name in ("location", "severity"):
        said.pop(name)
    return fingerprint("rule", type(rule).__name__, said, about)


def _of_feed(feed: SourceInput, seen: _Seen, at: SourceContext) -> str | None:
    """Give the fingerprint of a feed, ``None`` where it cannot be recognised."""
    if feed.rows is None or any(file not in seen.contents for file in row_files(feed.rows)):
        return None
    told = _told(feed.rows, seen.contents, at)
    values = feed.load.segments if isinstance(feed.load, TableLoad) else {}
    # Only the rows of segments that are looked at are judged.
    judged = {v: (a in seen.planned, a in seen.unplanned) for v, a in values.items()}
    return told and _of_load(feed.load, told, judged)


def _of_load(load: Load, told: str, judged: Mapping[str, object]) -> str:
    """Give the fingerprint of a load; ``told`` is that of its rows, by their content.

    Everything that is declared of it counts, but its name and where it stands.
    """
    source = {f.name: getattr(load.source, f.name) for f in fields(load.source)}
    declared = {f.name: getattr(load, f.name) for f in fields(load)}
    for name in ("location", "path", "format"):
        source.pop(name, None)
    for name in ("source", "name", "addresses", "segments"):
        declared.pop(name, None)
    return fingerprint("source", told, source, declared, judged)


def _told(rows: Rows, contents: Contents, at: SourceContext | None = None) -> str | None:
    """Digest everything that decides which rows there are, ``None`` where something cannot be."""
    match rows:
        case InlineRows(kind=kind, values=values):
            return fingerprint("inline", kind, values)
        case FileScan(paths=files, partitions=partitions):
            columns = {f.name: getattr(rows, f.name) for f in fields(rows)}
            del columns["paths"], columns["partitions"]
            # A file's name has a say in how it is packed, and in the columns that it stands for.
            told = [
                (contents[file], file.suffix.lower(), {c: v[file] for c, v in partitions.items()})
                for file in files
            ]
            return fingerprint("scan", columns, told)
        case CheckedQuery(repeatable=True, sql=sql, parameters=values, files=files):
            # The scratch files of objects have other names in every run.
            told_of = at.reach.anywhere if at else str
            named = [(told_of(str(file)), contents[file]) for file in files]
            around = at.engine.surroundings() if at else {}
            return fingerprint("select", told_of(sql), values, rows.segment_column, named, around)
        case CopiedRows(path=file):
            return fingerprint("copied", contents[file])
        case _:
            return None
