"""The first line of a comment or an issue: its workspace, and the plan that it is about.

The line is a Markdown comment, which the forge does not display. It contains the digest of the plan
and no text of it, and counts only as the first line, so no name or value can imitate it.
"""

import hashlib
import re
from dataclasses import dataclass

_LINE = re.compile(
    r"<!-- segctl:comment key=([0-9a-f]{16}) plan=(sha256:[0-9a-f]{64}|refused|failed) "
    r"head=([0-9a-f]{7,64}|unknown) -->"
)
REFUSED, FAILED = "refused", "failed"


@dataclass(frozen=True, kw_only=True)
class Marker:
    """What the first line of a comment says.

    ``key`` stands for a workspace and environment. ``plan`` is the digest of the plan, ``refused``
    if its guards refuse it, ``failed`` if there is none. ``head`` is the commit of the branch that
    it was made from, empty if it is unknown.
    """

    key: str
    plan: str
    head: str = ""

    def __str__(self) -> str:
        """Return the line, without its end."""
        return (
            f"<!-- segctl:comment key={self.key} plan={self.plan} head={self.head or 'unknown'} -->"
        )

    @property
    def digest(self) -> str | None:
        """The digest of the plan, ``None`` if the comment shows no plan that can be applied."""
        return None if self.plan in (REFUSED, FAILED) else self.plan


def comment_key(workspace: str, env_name: str) -> str:
    """Return the key of a workspace, by its path in the repository, and an environment."""
    return hashlib.sha256(
        f"{workspace}\0{env_name}".encode("utf-8", "surrogateescape")
    ).hexdigest()[:16]


def parse_marker(body: str) -> Marker | None:
    """Return the marker of a comment, ``None`` if its first line is none."""
    found = _LINE.fullmatch(body.partition("\n")[0].rstrip("\r"))
    if not found:
        return None
    key, plan, head = found.groups()
    return Marker(key=key, plan=plan, head="" if head == "unknown" else head)


_ISSUE_LINE = re.compile(r"<!-- segctl:issue key=([0-9a-f]{16}) holds=(yes|no) -->")


@dataclass(frozen=True, kw_only=True)
class IssueMarker:
    """What the first line of an issue says: its workspace and environment, by their ``key``.

    An issue that ``holds`` keeps runs that nobody approved from sending anything while it is open.
    """

    key: str
    holds: bool

    def __str__(self) -> str:
        """Return the line, without its end."""
        return f"<!-- segctl:issue key={self.key} holds={'yes' if self.holds else 'no'} -->"


def parse_issue_marker(body: str) -> IssueMarker | None:
    """Return the marker of an issue, ``None`` if its first line is none."""
    found = _ISSUE_LINE.fullmatch(body.partition("\n")[0].rstrip("\r"))
    return IssueMarker(key=found[1], holds=found[2] == "yes") if found else None
