"""How views show members: in full, as hashes, or not at all. The only place that decides it."""

from collections.abc import Sequence
from dataclasses import field
from enum import StrEnum

from segctl.core.dataclass import dataclass
from segctl.core.identity import Kind
from segctl.core.member_hash import hash_member
from segctl.plan.model import Finding, Plan
from segctl.render.style import quoted

SHOWN_MEMBERS = 10
"""The most members that a list of a plan shows in full."""

SHOWN_HASHES = 5
"""The most hashes that a line shows. They fit into a line of a log."""

_NOTE = "Members are shown as hashes: `segctl members --find HASH` says who one is."


class Identities(StrEnum):
    """How a view shows user keys: in full, masked, or not at all."""

    FULL = "full"
    MASKED = "masked"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class MemberFormat:
    """How a view shows members: the ``mode``, and the key of hashes, empty without one.

    Masked members are shown as hashes. Without a key, they are not shown.
    """

    mode: Identities
    key: str = field(default="", repr=False)

    @property
    def shown(self) -> Identities:
        """The mode, or ``NONE`` for masked members without a key."""
        if self.mode is Identities.MASKED and not self.key:
            return Identities.NONE
        return self.mode

    def format(self, kind: Kind, value: str) -> str:
        """Return one member: in quotes, with ``guid`` before a guid, or as a hash with ``#``.

        Empty if members are not shown.
        """
        match self.shown:
            case Identities.FULL:
                return quoted(value) if kind is Kind.IDENTITY else f"guid {quoted(value)}"
            case Identities.MASKED:
                return f"#{hash_member(self.key, kind, value)}"
            case Identities.NONE:
                return ""

    def fields(self, kind: Kind, value: str) -> dict[str, str]:
        """Return the fields of a JSON document that name a member: ``value`` or ``hash``."""
        match self.shown:
            case Identities.FULL:
                return {"value": value}
            case Identities.MASKED:
                return {"hash": hash_member(self.key, kind, value)}
            case Identities.NONE:
                return {}

    def members(
        self, sample: Sequence[tuple[Kind, str]], *, most: int = SHOWN_MEMBERS
    ) -> tuple[str, ...]:
        """Return the first ``most`` members of a sample, or a few hashes of it.

        Hashes are in their own order: that of the values would say something about the values.
        """
        match self.shown:
            case Identities.FULL:
                return tuple(self.format(kind, value) for kind, value in sample[:most])
            case Identities.MASKED:
                hashes = sorted(self.format(kind, value) for kind, value in sample)
                return tuple(hashes[: min(SHOWN_HASHES, most)])
            case Identities.NONE:
                return ()

    def examples(self, finding: Finding) -> str:
        """Return a line with a few of the users that a finding is about; empty if none is shown."""
        shown = self.members(finding.sample)
        return f"Among them: {', '.join(shown)}." if shown else ""

    def note(self, plan: Plan) -> str:
        """Return a line that says how to look a hash up; empty if the plan shows none."""
        samples = (s for c in plan.changes for s in (c.sample.add, c.sample.remove))
        has_members = any(samples) or any(finding.sample for finding in plan.findings)
        return _NOTE if self.shown is Identities.MASKED and has_members else ""


def more_members(shown: Sequence[str], total: int) -> str:
    """Return how many members a list leaves out; empty if it shows all or none."""
    return f"({total - len(shown):,} more)" if 0 < len(shown) < total else ""


IN_FULL = MemberFormat(mode=Identities.FULL)
NOT_SHOWN = MemberFormat(mode=Identities.NONE)
