"""Check when overrides end: one that has ended is a warning, one that ends late is an error."""

from collections.abc import Iterator

from segctl.core.diagnostics import Diagnostic, Severity
from segctl.core.local_time import end_of
from segctl.manifests.documents import (
    AnyDocument,
    ProjectDocument,
    SegmentDocument,
    SegmentTableDocument,
)
from segctl.manifests.guard_models import ProjectAllow, SegmentAllow
from segctl.manifests.yaml_tree import Document

MAX_DAYS = 90
"""How far ahead an override may end. One that is meant to stay is a guard that is too low."""

_DAY = 86_400.0


def check_overrides(
    document: Document, content: AnyDocument, *, zone: str, now: float
) -> Iterator[Diagnostic]:
    """Yield the problems of a document's overrides; ``now`` is in seconds since 1970."""
    for path, allow in _overrides(content):
        ends = end_of(allow.until, zone)
        location = document.locate((*path, "until"))
        if ends <= now:
            yield Diagnostic(
                code="override-expired",
                summary=f"this override expired ({allow.until}).",
                detail="It allows nothing any more. Remove allow.",
                location=location,
                severity=Severity.WARNING,
            )
        # A date counts to its end, wherever on its day the command runs.
        elif ends > now + (MAX_DAYS + 1) * _DAY:
            yield Diagnostic(
                code="override-too-long",
                summary=f'"until" is more than {MAX_DAYS} days ahead.',
                detail="An override is for one change. If it is to stay, change the guard.",
                location=location,
            )


def _overrides(
    content: AnyDocument,
) -> Iterator[tuple[tuple[str, ...], ProjectAllow | SegmentAllow]]:
    if isinstance(content, ProjectDocument | SegmentDocument) and content.spec.allow:
        yield ("spec", "allow"), content.spec.allow
    if isinstance(content, SegmentTableDocument):
        for name, segment in content.spec.segments.items():
            if segment.allow:
                yield ("spec", "segments", name, "allow"), segment.allow
