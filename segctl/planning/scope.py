"""Decide whose members a plan needs: the planned segments, and those they depend on."""

from collections.abc import Collection, Mapping
from dataclasses import field
from functools import cached_property

from segctl.core.dataclass import dataclass
from segctl.manifests.dependencies import relevant_rules, required_segments, rule_addresses
from segctl.manifests.desired import DesiredState, Load, Rule, TableLoad


@dataclass(frozen=True, kw_only=True)
class PlanScope:
    """The segments whose members a plan needs, and the rules it checks.

    ``planned`` maps the addresses of the segments that get members to their target indexes.
    ``supporting`` does so for segments that are not part of the plan, but whose members a
    planned segment reads or a rule needs; ``reasons`` holds that reason by address, as the
    end of a sentence. ``rules`` are the rules about the planned segments. ``held`` maps segments
    that are held back and that a rule names: a rule sees the members that they keep.
    """

    planned: Mapping[str, int]
    supporting: Mapping[str, int]
    reasons: Mapping[str, str]
    rules: tuple[Rule, ...]
    held: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def target_indexes(self) -> Mapping[str, int]:
        """The target index of every planned and supporting segment, by address."""
        return {**self.planned, **self.supporting}

    def includes(self, load: Load) -> bool:
        """Whether a segment in scope has members from this source."""
        return not self.target_indexes.keys().isdisjoint(segments_of(load))

    def support_reason(self, load: Load) -> str:
        """Return why a source is read that no planned segment has, else an empty string."""
        in_scope = [address for address in segments_of(load) if address in self.target_indexes]
        if not in_scope or any(address in self.planned for address in in_scope):
            return ""
        return f"{in_scope[0]} is not part of this plan, but {self.reasons[in_scope[0]]}."


def build_scope(
    desired: DesiredState,
    planned: Mapping[str, int],
    first_free_index: int,
    *,
    held: Collection[str] = (),
) -> PlanScope:
    """Find the supporting segments and the rules of the ``planned`` segments.

    Supporting and ``held`` segments get target indexes from ``first_free_index`` on. No planned
    segment reads a held one.
    """
    rules = relevant_rules(desired, planned)
    reasons = required_segments(desired, planned, rules, held=held)
    named = {address for rule in rules for address in rule_addresses(rule)}
    first_held = first_free_index + len(reasons)
    return PlanScope(
        planned=planned,
        supporting={address: first_free_index + n for n, address in enumerate(reasons)},
        reasons=reasons,
        rules=rules,
        held={a: first_held + n for n, a in enumerate(sorted(named.intersection(held)))},
    )


def segments_of(load: Load) -> tuple[str, ...]:
    """Return the addresses of the segments that a source has members for."""
    return tuple(load.segments.values()) if isinstance(load, TableLoad) else load.addresses
