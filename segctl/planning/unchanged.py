"""Find the segments whose sources are unchanged, so that their rows need not be read.

The state keeps a basis for each segment: sources with this fingerprint produce members
with this digest. If a segment's sources still have that fingerprint, the recorded members
still have that digest, and no request for the segment is open, then comparing its members
would find no change. What a plan reports about its rows is in the state, too.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from segctl.core.dataclass import dataclass
from segctl.core.fingerprints import Basis, SourceCounts, fingerprint, segment_fingerprint
from segctl.core.identity import IdentityProblem, SetDigest
from segctl.engine.model import (
    Anomalies,
    CheckedQuery,
    CopiedRows,
    FileScan,
    InlineRows,
    LoadStats,
    Rows,
    SourceError,
)
from segctl.manifests.dependencies import rule_addresses
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
from segctl.planning.load import SourceInput
from segctl.planning.restrictions import KnownRestrictions
from segctl.planning.scope import PlanScope
from segctl.planning.source_diagnostics import source_diagnostic
from segctl.planning.unreadable import SourceProblem, UnreadableSources
from segctl.sources.content_hash import FileDigests
from segctl.sources.context import SourceContext
from segctl.sources.path_policy import PathPolicy
from segctl.state.model import SegmentRecord, State

_FIELDS_WITHOUT_EFFECT = frozenset(
    "address display_name customer_segment_id labels managed guards lifecycle location"
    " allow path allow_location".split()
)
"""The fields of a segment that do not affect its members. A new field does, unless listed."""


@dataclass(frozen=True, kw_only=True)
class ReadSelection:
    """The segments whose sources a plan reads, and what it takes from the state instead.

    ``inputs`` are the sources of all segments in scope, and ``input_fingerprints`` their
    fingerprints in the same order, ``None`` if the content is unknown.
    ``segment_fingerprints`` are by address, and cover everything that the members are
    computed from; a segment with an unknown source has none. ``to_read`` are the addresses
    of the segments to read, and ``rules`` the rules to check on them. ``unchanged`` holds
    the basis of each planned segment that is not read.
    """

    inputs: Sequence[SourceInput]
    input_fingerprints: Sequence[str | None]
    segment_fingerprints: Mapping[str, str]
    to_read: frozenset[str]
    rules: tuple[Rule, ...]
    unchanged: Mapping[str, Basis]
    _scope: PlanScope
    _contents: FileDigests
    _policy: PathPolicy
    _recorded_counts: Mapping[str, SourceCounts]

    def check_files_unchanged(self) -> None:
        """Raise ``UnreadableSources`` for the files that changed while they were read.

        Such a read may have ended in the middle of the rows, or of a value.
        """
        read = [i for i in self.inputs if not self.to_read.isdisjoint(i.roles)]
        check_files_unchanged(read, self._contents, self._policy)

    def complete_stats(self, read: Mapping[int, LoadStats]) -> Mapping[int, LoadStats]:
        """Return the row counts of every source, by input index.

        They are the counts in ``read``, or the recorded ones if the source was not read for
        all its segments: what was read for some of them does not cover all rows.
        """
        stats = dict(read)
        not_read = self._scope.target_indexes.keys() - self.to_read
        for index, source_input in enumerate(self.inputs):
            counts = self._recorded_counts.get(self.input_fingerprints[index] or "")
            if counts and not_read & source_input.roles.keys():
                stats[index] = LoadStats(
                    rows=counts.rows,
                    duplicates=counts.duplicates,
                    invalid={
                        IdentityProblem(problem): rows for problem, rows in counts.invalid.items()
                    },
                    undeclared_rows=counts.others,
                    anomalies=Anomalies(
                        case_variants=counts.case_variants,
                        case_share=counts.case_share,
                        header_lines=counts.header_lines,
                    ),
                )
        return stats

    def counts_to_record(self, stats: Mapping[int, LoadStats]) -> Mapping[str, SourceCounts]:
        """Return the row counts of the sources that have a fingerprint, by fingerprint."""
        return {
            content: source_counts(stats[index])
            for index, content in enumerate(self.input_fingerprints)
            if content is not None and index in stats
        }

    def rules_to_record(self, broken: Collection[Rule]) -> tuple[str, ...]:
        """Return the fingerprints of the rules in scope that are not ``broken``."""
        fingerprints = (
            _rule_fingerprint(rule, self.segment_fingerprints, self._scope)
            for rule in self._scope.rules
            if rule not in broken
        )
        return tuple(sorted({content for content in fingerprints if content is not None}))


def select_reads(
    inputs: Sequence[SourceInput],
    scope: PlanScope,
    drafts: Iterable[Draft],
    state: State,
    context: SourceContext,
    *,
    declared: Iterable[DesiredSegment],
    restrictions: KnownRestrictions,
    reread: bool,
) -> ReadSelection:
    """Compare the content of all sources with what the state knows, and select what to read.

    A segment is read too if its ``restrictions`` are not known. ``reread`` selects every segment
    in the plan.
    """
    contents = context.policy.digest_files(file for i in inputs for file in row_files(i.rows))
    input_fingerprints = [_input_fingerprint(i, scope, contents, context) for i in inputs]
    segment_fingerprints = _segment_fingerprints(inputs, input_fingerprints, scope, declared)
    unchanged: Mapping[str, Basis] = {}
    passing_rules: Collection[str | None] = ()
    if not reread:
        has_counts = [
            isinstance(i.load.source, SegmentSource) or content in state.sources
            for i, content in zip(inputs, input_fingerprints, strict=True)
        ]
        sources = _sources_by_segment(inputs, scope)
        unchanged = {
            draft.address: draft.record.basis
            for draft in drafts
            if draft.wanted
            and draft.record
            and draft.record.basis
            and draft.record.basis.sources == segment_fingerprints.get(draft.address)
            and all(has_counts[index] for _, index in sources[draft.address])
            and restrictions.are_known(index for _, index in sources[draft.address])
            and _has_basis_members(draft.record)
        }
        passing_rules = state.rules
    rules = tuple(
        rule
        for rule in scope.rules
        if _rule_fingerprint(rule, segment_fingerprints, scope) not in passing_rules
        and (
            scope.held.keys().isdisjoint(rule_addresses(rule))
            or not (scope.planned.keys() - unchanged).isdisjoint(rule_addresses(rule))
        )
    )
    to_read = {
        *(scope.planned.keys() - unchanged),
        *(a for rule in rules for a in rule_addresses(rule) if a not in scope.held),
    }
    to_read = _with_dependencies(to_read, _segments_read_by(inputs, scope))
    return ReadSelection(
        inputs=inputs,
        input_fingerprints=input_fingerprints,
        segment_fingerprints=segment_fingerprints,
        to_read=frozenset(to_read),
        rules=rules,
        unchanged={a: basis for a, basis in unchanged.items() if a not in to_read},
        _scope=scope,
        _contents=contents,
        _policy=context.policy,
        _recorded_counts=state.sources,
    )


def file_fingerprint(source: FileSource, scan: FileScan, policy: PathPolicy) -> str | None:
    """Return the fingerprint of the files that fill a segment.

    The same content in files of other names has the same fingerprint. ``None`` if a file
    cannot be read.
    """
    contents = policy.digest_files(scan.paths)
    if len(contents) < len(scan.paths):
        return None
    return _load_fingerprint(
        MemberLoad(source=source, addresses=()), _scan_fingerprint(scan, contents), {}
    )


def single_source_basis(source_fingerprint: str, members: SetDigest) -> Basis:
    """Return the basis of a segment whose members come from a single source."""
    return Basis(
        sources=segment_fingerprint({}, [("include", source_fingerprint)]), members=members
    )


def source_counts(stats: LoadStats) -> SourceCounts:
    """Return the row counts to record for a source, without the details of errors."""
    return SourceCounts(
        rows=stats.rows,
        duplicates=stats.duplicates,
        invalid={str(problem): rows for problem, rows in sorted(stats.invalid.items())},
        others=stats.undeclared_rows,
        case_variants=stats.anomalies.case_variants,
        case_share=stats.anomalies.case_share,
        header_lines=stats.anomalies.header_lines,
    )


def check_files_unchanged(
    read: Iterable[SourceInput], contents: FileDigests, policy: PathPolicy
) -> None:
    """Raise ``UnreadableSources`` for the files of these sources without these ``contents``."""
    # Copied rows are private to this run, and the engine removes the file.
    checked = [i for i in read if not isinstance(i.rows, CopiedRows)]
    current = policy.digest_files(file for i in checked for file in row_files(i.rows))
    problems = [
        SourceProblem(
            load=source_input.load,
            diagnostic=source_diagnostic(source_input.load, changed_file_error(file), policy),
        )
        for source_input in checked
        for file in row_files(source_input.rows)
        if current.get(file) != contents.get(file)
    ]
    if problems:
        raise UnreadableSources(problems)


def changed_file_error(file: Path | None = None) -> SourceError:
    """Return the error for a file that was written or replaced while it was read."""
    error = SourceError(
        "changed-file",
        "the file was changed while it was read",
        "Run the same command again when the file is complete.",
    )
    error.file = file
    return error


def row_files(rows: Rows | None) -> tuple[Path, ...]:
    """Return the files that rows are read from."""
    match rows:
        case FileScan(paths=files) | CheckedQuery(files=files):
            return files
        case CopiedRows(path=file):
            return (file,)
        case _:
            return ()


def _has_basis_members(record: SegmentRecord) -> bool:
    """Whether the recorded members are those of the basis, and no pair is open."""
    matches = record.basis is not None and record.basis.members == record.members.digest
    return matches and record.created and not record.missing and not record.pairs.file


# Which source belongs to which segment


def _sources_by_segment(
    inputs: Sequence[SourceInput], scope: PlanScope
) -> Mapping[str, list[tuple[str, int]]]:
    """Return the role and the input index of each source, by segment address."""
    sources: dict[str, list[tuple[str, int]]] = {address: [] for address in scope.target_indexes}
    for index, source_input in enumerate(inputs):
        for address, role in source_input.roles.items():
            if address in sources:
                sources[address].append((role, index))
    return sources


def _segments_read_by(inputs: Sequence[SourceInput], scope: PlanScope) -> Mapping[str, set[str]]:
    """Return the segments whose members each segment reads, by address."""
    reads: dict[str, set[str]] = {address: set() for address in scope.target_indexes}
    for source_input in inputs:
        source = source_input.load.source
        if isinstance(source, SegmentSource):
            for address in source_input.roles.keys() & reads.keys():
                reads[address].add(source.address)
    return reads


def _with_dependencies(addresses: set[str], reads: Mapping[str, set[str]]) -> set[str]:
    """Return the addresses, and the segments that they read directly or indirectly."""
    result, todo = set(addresses), list(addresses)
    while todo:
        added = reads[todo.pop()] - result
        result |= added
        todo += added
    return result


# Fingerprints


def _segment_fingerprints(
    inputs: Sequence[SourceInput],
    input_fingerprints: Sequence[str | None],
    scope: PlanScope,
    declared: Iterable[DesiredSegment],
) -> Mapping[str, str]:
    """Return the fingerprint of everything that a segment's members are computed from.

    By address. A segment that has a source without a fingerprint is left out.
    """
    segments = {segment.address: segment for segment in declared}
    sources = _sources_by_segment(inputs, scope)
    result: dict[str, str] = {}
    # In dependency order, so that the fingerprint of a segment that is read is known.
    # Manifests with a cycle are refused.
    for address in TopologicalSorter(_segments_read_by(inputs, scope)).static_order():
        contents: list[tuple[str, str]] = []
        for role, index in sources[address]:
            source = inputs[index].load.source
            if isinstance(source, SegmentSource):
                content = result.get(source.address)
            else:
                content = input_fingerprints[index]
            if content is not None:
                contents.append((role, content))
        if len(contents) == len(sources[address]):
            result[address] = segment_fingerprint(_settings(segments[address]), contents)
    return result


def _settings(segment: DesiredSegment) -> Mapping[str, Any]:
    """Return the settings of a segment that affect its members, unless they are the default."""
    settings = {f.name: (getattr(segment, f.name), f.default) for f in fields(segment)}
    return {
        name: value
        for name, (value, default) in settings.items()
        if name not in _FIELDS_WITHOUT_EFFECT and value != default
    }


def _rule_fingerprint(
    rule: Rule, segment_fingerprints: Mapping[str, str], scope: PlanScope
) -> str | None:
    """Return the fingerprint of a rule and of the members of its segments.

    ``None`` if one of the segments has no fingerprint: one that is held back keeps other members
    than its sources have.
    """
    members = [
        None if address in scope.held else segment_fingerprints.get(address)
        for address in rule_addresses(rule)
    ]
    if None in members:
        return None
    settings = {f.name: getattr(rule, f.name) for f in fields(rule)}
    for name in ("location", "severity"):
        settings.pop(name)
    return fingerprint("rule", type(rule).__name__, settings, members)


def _input_fingerprint(
    source_input: SourceInput, scope: PlanScope, contents: FileDigests, context: SourceContext
) -> str | None:
    """Return the fingerprint of a source, ``None`` if its content is unknown."""
    load, rows = source_input.load, source_input.rows
    if rows is None or any(file not in contents for file in row_files(rows)):
        return None
    rows_content = _rows_fingerprint(rows, contents, context)
    if rows_content is None:
        return None
    # Rows of a segment outside the scope are not validated.
    validated = {
        value: (address in scope.planned, address in scope.supporting)
        for value, address in (load.segments if isinstance(load, TableLoad) else {}).items()
    }
    return _load_fingerprint(load, rows_content, validated)


def _load_fingerprint(load: Load, rows_content: str, validated: Mapping[str, object]) -> str:
    """Return the fingerprint of a source whose rows have the fingerprint ``rows_content``.

    Every setting of the source counts, except its name, its location and its limits.
    """
    source = {f.name: getattr(load.source, f.name) for f in fields(load.source)}
    declared = {f.name: getattr(load, f.name) for f in fields(load)}
    for name in ("location", "path", "format", "limits", "sql_file"):
        source.pop(name, None)
    for name in ("source", "name", "addresses", "segments"):
        declared.pop(name, None)
    return fingerprint("source", rows_content, source, declared, validated)


def _rows_fingerprint(rows: Rows, contents: FileDigests, context: SourceContext) -> str | None:
    """Return a digest of everything that determines the rows, ``None`` if that is unknown."""
    match rows:
        case InlineRows(kind=kind, values=values):
            return fingerprint("inline", kind, values)
        case FileScan():
            return _scan_fingerprint(rows, contents)
        case CheckedQuery(repeatable=True, sql=sql, parameters=values, files=files):
            # The scratch files of objects have other names in every run.
            stable = context.policy.strip_scratch_folder
            tables = [(stable(str(file)), contents[file]) for file in files]
            environment = context.engine.query_environment()
            return fingerprint(
                "select",
                stable(sql),
                values,
                rows.segment_column,
                rows.time_zone,
                tables,
                environment,
            )
        case CopiedRows(path=file):
            return fingerprint("copied", contents[file])
        case _:
            return None


def _scan_fingerprint(scan: FileScan, contents: FileDigests) -> str:
    columns = {f.name: getattr(scan, f.name) for f in fields(scan)}
    del columns["paths"], columns["partitions"]
    # The suffix selects the decompression, and the path contains the partition values.
    files = [
        (
            contents[file],
            file.suffix.lower(),
            {column: values[file] for column, values in scan.partitions.items()},
        )
        for file in scan.paths
    ]
    return fingerprint("scan", columns, files)
