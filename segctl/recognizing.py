"""Recognise sources that did not change, so that their rows are not read again.

A segment is settled where its sources, by their content, are known to come to the very
members that are recorded, and no pair of it is open.  Comparing them would find no
change, and what else a plan tells of their rows was noted with the state.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from segctl.engine.base import Inline, LoadStats, Rows, Scan, Select
from segctl.fingerprints import Basis, SourceCounts, fingerprint, of_segment
from segctl.identity import Problem, SetDigest
from segctl.loading import Feed, fed_by
from segctl.manifests.desired import DesiredSegment, FileSource, Load, MemberLoad, TableLoad
from segctl.plan.diff import Draft
from segctl.sources.contents import Contents, contents_of
from segctl.sources.fetching import Fetching
from segctl.state.model import SegmentRecord, State

_NO_SAY = frozenset(
    "address display_name customer_segment_id labels managed guards lifecycle location".split()
)
"""What is declared of a segment without a say in who is in it; anything else counts."""


@dataclass(frozen=True, kw_only=True)
class Recognized:
    """What is known of the sources of a plan before a row is read.

    ``sources`` gives the fingerprint of each feed, ``None`` where it cannot be
    recognised; ``segments`` that of everything that a planned segment's members come
    from, where all of it can be; ``settled`` the segments that need not be compared.
    ``noted`` is what the state says that sources hold.
    """

    feeds: Sequence[Feed]
    contents: Contents
    sources: Sequence[str | None]
    segments: Mapping[str, str]
    settled: frozenset[str]
    noted: Mapping[str, SourceCounts]

    def after_reading(self, read: Collection[str]) -> "Recognized":
        """Give what is still known once the segments ``read`` were compared.

        A file may have changed since it was looked at.  Then nobody can tell which
        content was read, and no fingerprint may stand for what its rows came to.
        """
        files = {file for feed in self.feeds if _feeds(feed, read) for file in files_of(feed.rows)}
        now = contents_of(files)
        changed = {file for file in files if now.get(file) != self.contents.get(file)}
        doubtful = {
            place
            for place, feed in enumerate(self.feeds)
            if changed.intersection(files_of(feed.rows))
        }
        lost = {address for place in doubtful for address in fed_by(self.feeds[place].load)}
        return replace(
            self,
            sources=[None if n in doubtful else found for n, found in enumerate(self.sources)],
            segments={a: found for a, found in self.segments.items() if a not in lost},
        )

    def stats(self, read: Mapping[int, LoadStats]) -> Mapping[int, LoadStats]:
        """Give what every feed holds: as ``read``, by place, or as it was noted.

        What was read for some of a feed's segments alone does not tell of all its rows.
        """
        found = dict(read)
        for place, feed in enumerate(self.feeds):
            noted = self.noted.get(self.sources[place] or "")
            if noted and _feeds(feed, self.settled):
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
            source: counts_of(stats[place])
            for place, source in enumerate(self.sources)
            if source is not None and place in stats
        }


def counts_of(stats: LoadStats) -> SourceCounts:
    """Give what is noted of a source; what only an error would tell is left out."""
    return SourceCounts(
        rows=stats.rows,
        duplicates=stats.duplicates,
        invalid={str(problem): rows for problem, rows in sorted(stats.invalid.items())},
        others=stats.others_rows,
    )


def recognize(
    feeds: Sequence[Feed], drafts: Iterable[Draft], state: State, at: Fetching, *, reread: bool
) -> Recognized:
    """Look at the content of all files of the feeds, and at what the state knows of it.

    Nothing is settled where ``reread``.
    """
    planned = {draft.address: draft for draft in drafts if draft.wanted}
    contents = contents_of(file for feed in feeds for file in files_of(feed.rows))
    sources = [_source(feed, planned.keys(), contents, at) for feed in feeds]
    segments: dict[str, str] = {}
    settled: set[str] = set()
    for address, draft in planned.items():
        fed = _fed(address, feeds, sources)
        known = [(role, source) for role, source in fed if source is not None]
        if len(known) < len(fed) or draft.segment is None:
            continue
        segments[address] = of_segment(settings_of(draft.segment), known)
        noted = all(source in state.sources for _, source in known)
        if noted and not reread and _comes_to(draft.record, segments[address]):
            settled.add(address)
    return Recognized(
        feeds=feeds,
        contents=contents,
        sources=sources,
        segments=segments,
        settled=frozenset(settled),
        noted=state.sources,
    )


def _comes_to(record: SegmentRecord | None, sources: str) -> bool:
    """Tell whether these sources are known to come to what is recorded, every pair answered."""
    if record is None or not record.created or record.missing or record.pairs.file:
        return False
    return record.basis == Basis(sources=sources, members=record.members.digest)


def _feeds(feed: Feed, addresses: Collection[str]) -> bool:
    return any(address in addresses for address in fed_by(feed.load))


def _fed(
    address: str, feeds: Sequence[Feed], sources: Sequence[str | None]
) -> list[tuple[str, str | None]]:
    """Give what feeds a segment: what it does, and its fingerprint."""
    pairs = [(fed_by(feed.load), found) for feed, found in zip(feeds, sources, strict=True)]
    return [(roles[address], found) for roles, found in pairs if address in roles]


def settings_of(segment: DesiredSegment) -> Mapping[str, Any]:
    """Give what is declared of a segment, beside its sources, that has a say in its members."""
    settings = {f.name: (getattr(segment, f.name), f.default) for f in fields(segment)}
    return {
        name: value
        for name, (value, default) in settings.items()
        if name not in _NO_SAY and value != default
    }


def file_fingerprint(source: FileSource, scan: Scan, root: Path) -> str | None:
    """Give the fingerprint of one file that fills a segment, ``None`` where it cannot be read.

    It is that of the same content in a file of any other name.
    """
    contents = contents_of(scan.paths)
    if len(contents) < len(scan.paths):
        return None
    told = _told(scan, contents, root)
    return told and source_fingerprint(MemberLoad(source=source, addresses=()), told, ())


def basis_of(source: str, members: SetDigest) -> Basis:
    """Say that the members of a segment came from this source alone."""
    return Basis(sources=of_segment({}, [("include", source)]), members=members)


def files_of(rows: Rows | None) -> tuple[Path, ...]:
    """Give the files that rows are read from."""
    match rows:
        case Scan(paths=files) | Select(files=files):
            return files
        case _:
            return ()


def _source(feed: Feed, planned: Collection[str], contents: Contents, at: Fetching) -> str | None:
    """Give the fingerprint of a feed, ``None`` where it cannot be recognised."""
    if feed.rows is None or any(file not in contents for file in files_of(feed.rows)):
        return None
    told = _told(feed.rows, contents, at.reach.root, at)
    return told and source_fingerprint(feed.load, told, planned)


def source_fingerprint(load: Load, told: str, planned: Collection[str]) -> str:
    """Give the fingerprint of a load; ``told`` is that of its rows, by their content.

    Everything that is declared of it counts, but its name and where it stands.
    """
    source = {f.name: getattr(load.source, f.name) for f in fields(load.source)}
    declared = {f.name: getattr(load, f.name) for f in fields(load)}
    for name in ("location", "path"):
        source.pop(name, None)
    for name in ("source", "name", "addresses", "segments"):
        declared.pop(name, None)
    values = load.segments if isinstance(load, TableLoad) else {}
    # Rows of segments that are not compared are not judged.
    judged = {value: address in planned for value, address in values.items()}
    return fingerprint("source", told, source, declared, judged)


def _told(rows: Rows, contents: Contents, root: Path, at: Fetching | None = None) -> str | None:
    """Digest everything that decides which rows there are, ``None`` where something cannot be."""
    match rows:
        case Inline(kind=kind, values=values):
            return fingerprint("inline", kind, values)
        case Scan(paths=files):
            others = {f.name: getattr(rows, f.name) for f in fields(rows) if f.name != "paths"}
            named = [(_name(file, files, root), contents[file]) for file in files]
            return fingerprint("scan", others, named)
        case Select(repeatable=True, sql=sql, parameters=values, files=files):
            named = [(str(file), contents[file]) for file in files]
            around = at.engine.surroundings() if at else {}
            return fingerprint("select", sql, values, rows.segment_column, named, around)
        case _:
            return None


def _name(file: Path, files: Sequence[Path], root: Path) -> str:
    """Give what a file's name has a say in: how it is packed; as one of several, all of it.

    So a copy elsewhere is the same source.  A folder such as ``day=2026-01-31`` gives rows
    a value.
    """
    if len(files) == 1 and not any("=" in part for part in file.parent.parts):
        return file.suffix.lower()
    inside = root.resolve()
    return (file.relative_to(inside) if file.is_relative_to(inside) else file).as_posix()
