"""Findings about segments that a plan removes: they may be renamed, misspelled or ignored."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from segctl.core.identity import SetDigest
from segctl.manifests.desired import DesiredState, IgnoredPath
from segctl.manifests.ignored_files import find_ignored_manifests
from segctl.plan.diff import Draft
from segctl.plan.findings import (
    ignored_manifests,
    passed_over_documents,
    possible_renames,
    removed_addresses,
    removed_drafts,
)
from segctl.plan.model import Action, Change, Finding
from segctl.planning.compare import ComparisonResult


def check_removed_segments(
    desired: DesiredState,
    comparison: ComparisonResult,
    changes: Sequence[Change],
    drafts: Sequence[Draft],
    root: Path,
) -> Iterator[Finding]:
    """Yield the findings about removed segments that may be renamed, misspelled or ignored.

    ``drafts`` are in the order of ``changes``, and ``root`` is the workspace folder.
    """
    yield from possible_renames(drafts, _members_of_new(comparison, changes, drafts))
    yield from passed_over_documents(changes, desired.passed_over)
    yield from ignored_manifests(_find_ignored(desired, changes, root))


def _members_of_new(
    comparison: ComparisonResult, changes: Sequence[Change], drafts: Sequence[Draft]
) -> Mapping[str, SetDigest]:
    """Return the members of each created segment that has as many as one that is destroyed."""
    counts = {d.record.members.digest.count for d in removed_drafts(drafts) if d.record}
    compared = {
        change.target: change.address
        for change in changes
        if change.action is Action.CREATE
        and change.target is not None
        and change.members.after
        and change.members.after in counts
    }
    if not compared or comparison.engine is None:
        return {}
    digests = comparison.engine.digest_added(compared.keys())
    return {compared[target]: digest for target, digest in digests.items()}


def _find_ignored(
    desired: DesiredState, changes: Sequence[Change], root: Path
) -> Mapping[str, IgnoredPath]:
    """Return the ignored files that declare a segment that is removed without a block."""
    blocks = {block.address for block in desired.blocks.removals}
    removed = set(removed_addresses(changes)) - blocks
    if not removed or not desired.ignored:
        return {}
    return find_ignored_manifests(root, desired.ignored, removed)
