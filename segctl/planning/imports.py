"""Read the members that import blocks list, before they are compared with the declared ones."""

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.core.scratch import scratch_folder
from segctl.engine.model import RecordedFiles
from segctl.manifests.desired import DesiredState, ImportBlock, MemberLoad
from segctl.plan.diff import Draft
from segctl.plan.model import Change, Figures, Finding
from segctl.plan.source_guards import check_sizes
from segctl.planning.load import find_sources, load_sources
from segctl.planning.restrictions import source_size
from segctl.planning.scope import PlanScope
from segctl.planning.unchanged import check_files_unchanged, row_files
from segctl.sources.context import SourceContext
from segctl.state.model import MemberSet


@dataclass(frozen=True, kw_only=True)
class ImportedMembers:
    """The members of the segments that a plan imports, by address, and the findings about them.

    A segment without members has no base file.
    """

    files: Mapping[str, RecordedFiles]
    findings: tuple[Finding, ...] = ()

    def complete(self, draft: Draft) -> Draft:
        """Return a draft whose record, if it is imported, has the members that were read."""
        if not draft.is_imported or draft.record is None:
            return draft
        members = MemberSet(digest=self.files[draft.address].digest)
        return replace(draft, record=replace(draft.record, members=members))

    def with_files(
        self, recorded_files: Mapping[str, RecordedFiles], drafts: Iterable[Draft]
    ) -> Mapping[str, RecordedFiles]:
        """Return the local files of each record by its key, including imported segments."""
        own = {
            draft.record.key: self.files[draft.address]
            for draft in drafts
            if draft.is_imported and draft.record
        }
        return ChainMap(own, recorded_files) if own else recorded_files  # type: ignore[arg-type]  # read only

    def bases(self, changes: Iterable[Change]) -> Mapping[int, Path]:
        """Return the base files of the imported segments that have members, by target index."""
        return {
            change.target: base
            for change in changes
            if change.imported is not None
            and change.target is not None
            and (base := self.files[change.address].base)
        }


def read_imports(
    desired: DesiredState,
    blocks: Mapping[str, ImportBlock],
    drafts: Sequence[Draft],
    *,
    scratch: Path,
    open_context: Callable[[Path], SourceContext],
) -> ImportedMembers:
    """Read the present members of the imported segments from the sources of their blocks.

    ``blocks`` are by address. Base files are written to the engine's scratch folder.
    ``open_context`` returns a context for sources with its scratch files in a folder. Raises
    ``InvalidInput`` with the problems of all sources at once.
    """
    imported = [blocks[draft.address] for draft in drafts if draft.is_imported]
    files = {block.address: RecordedFiles() for block in imported}
    unknown = {draft.address for draft in drafts if draft.is_imported and draft.wanted}
    findings = [_unknown_members(b) for b in imported if b.sources is None and b.address in unknown]
    listed = [block for block in imported if block.sources is not None]
    if not listed:
        return ImportedMembers(files=files, findings=tuple(findings))
    with scratch_folder(scratch) as folder:
        context = open_context(folder)
        read, found = _read(desired, listed, context)
    return ImportedMembers(files={**files, **read}, findings=(*findings, *found))


def _read(
    desired: DesiredState, blocks: Sequence[ImportBlock], context: SourceContext
) -> tuple[Mapping[str, RecordedFiles], Sequence[Finding]]:
    loads = tuple(
        MemberLoad(source=source, addresses=(block.address,), role="include")
        for block in blocks
        for source in block.sources or ()
    )
    scope = PlanScope(
        planned={block.address: index for index, block in enumerate(blocks)},
        supporting={},
        reasons={},
        rules=(),
    )
    inputs = find_sources(replace(desired, loads=loads), scope, context)
    contents = context.policy.digest_files(file for i in inputs for file in row_files(i.rows))
    loaded = load_sources(inputs, scope.planned, scope, context, earlier={})
    engine = context.engine
    for index in scope.planned.values():
        engine.set_recorded(index, RecordedFiles(), wanted=True)
    diff = engine.diff()
    stats = {loaded.input_indexes[load]: counts for load, counts in diff.loads.items()}
    findings = loaded.row_findings(stats, scope.planned)
    sizes = [
        source_size(source_input.load, stats[index].users, {})
        for index, source_input in enumerate(inputs)
    ]
    findings += check_sizes(sizes)
    folded = {address: engine.write_desired(index) for address, index in scope.planned.items()}
    check_files_unchanged(inputs, contents, context.policy)
    files = {
        address: RecordedFiles(
            digest=target.digest, base=target.base, base_rows=target.digest.count
        )
        for address, target in folded.items()
    }
    return files, findings


def _unknown_members(block: ImportBlock) -> Finding:
    return Finding(
        severity=Severity.WARNING,
        code="unknown-members",
        address=block.address,
        summary=f"{block.address} is imported without members: who is in it today is not known, "
        "and is not removed",
        detail="Every declared member is added, also those who are in it. To avoid both, list who "
        f"is in it today as members of the block at {block.location}.",
        figures=Figures(count=1, segments=(block.address,), place=str(block.location)),
    )
