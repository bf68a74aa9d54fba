"""Find the segments of one user, and why the user is in them or not; find users by hashes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from segctl.core.errors import OperationError, WrongUsage
from segctl.core.identity import PROBLEM_DESCRIPTIONS, Kind, find_problem
from segctl.core.member_hash import hash_member
from segctl.core.member_sets import FoundMember, SegmentOfUser, SourceOfUser
from segctl.engine.model import AskedUsers, FoundUser
from segctl.manifests.desired import DesiredState, Load, TableLoad
from segctl.session.context import Context
from segctl.session.engine_session import engine_session
from segctl.session.loaded_state import LoadedState, load_head
from segctl.state.model import State
from segctl.workflows.member_selection import (
    Choice,
    MemberTargets,
    find_targets,
    records_by_address,
)
from segctl.workflows.members import open_engine, read_state_for
from segctl.workflows.plan import check_account, service_host
from segctl.workflows.validate import load_desired


def find_user(
    context: Context,
    value: str,
    patterns: Sequence[str],
    choice: Choice,
    *,
    variables: Mapping[str, str],
) -> tuple[SegmentOfUser, ...]:
    """Return the segments in which a user is recorded, desired, refused or left out, and why.

    Sources are read for this user only, so problems of other rows are not reported. Raises what
    ``open_members`` raises.
    """
    if problem := find_problem(value):
        raise WrongUsage(f"this is no user key: it has {PROBLEM_DESCRIPTIONS[problem]}")
    choice = "both" if choice == "either" else choice
    with engine_session(context.limits) as session:

        def read(loaded: LoadedState | None) -> tuple[SegmentOfUser, ...]:
            desired, targets = _find_targets(context, loaded, patterns, choice, variables)
            engine, _, loads = open_engine(
                context, session, loaded, desired, targets, asked=AskedUsers(value=value)
            )
            has_user = engine.find_asked_in_loads()
            sources = _sources_by_address(
                {number: (loads[number], values) for number, values in has_user.items()}
            )
            return _segments_of_user(targets, engine.find_asked(), sources, choice)

        return read_state_for(context, session, choice, read)


def find_users_by_hash(
    context: Context,
    hashes: Sequence[str],
    patterns: Sequence[str],
    choice: Choice,
    *,
    variables: Mapping[str, str],
) -> tuple[FoundMember, ...]:
    """Return the users who have these hashes, and the segments in which they are.

    With the choice ``either``, the sources are read only if a hash is not that of a user in the
    state. Raises ``OperationError`` if the state has no key, and what ``open_members`` raises.
    """
    first_choice: Choice = "recorded" if choice == "either" else choice
    members = _find_users_by_hash(context, hashes, patterns, first_choice, variables)
    missing = set(hashes) - {member.hash for member in members}
    if choice == "either" and missing:
        members += _find_users_by_hash(context, sorted(missing), patterns, "desired", variables)
    return tuple(sorted(members, key=lambda m: (hashes.index(m.hash), m.kind, m.value)))


def _find_users_by_hash(
    context: Context,
    hashes: Sequence[str],
    patterns: Sequence[str],
    choice: Choice,
    variables: Mapping[str, str],
) -> tuple[FoundMember, ...]:
    with engine_session(context.limits) as session:

        def read(loaded: LoadedState | None) -> tuple[FoundMember, ...]:
            state = (loaded or load_head(context.backend())).state
            if not state.member_key:
                raise _no_key(state)
            desired, targets = _find_targets(context, loaded, patterns, choice, variables)
            asked = AskedUsers(hashes=tuple(hashes), hash_key=state.member_key)
            engine, _, _ = open_engine(context, session, loaded, desired, targets, asked=asked)
            by_user: dict[tuple[Kind, str], list[FoundUser]] = {}
            for user in engine.find_asked():
                by_user.setdefault((user.kind, user.value), []).append(user)
            members = [
                FoundMember(
                    hash=hash_member(state.member_key, kind, value),
                    kind=kind,
                    value=value,
                    segments=_segments_of_user(targets, users, {}, choice),
                )
                for (kind, value), users in by_user.items()
            ]
            return tuple(member for member in members if member.segments)

        return read_state_for(context, session, choice, read)


def _find_targets(
    context: Context,
    loaded: LoadedState | None,
    patterns: Sequence[str],
    choice: Choice,
    variables: Mapping[str, str],
) -> tuple[DesiredState | None, MemberTargets]:
    """Return the desired state, if the choice needs it, and the segments that are searched."""
    desired = None if choice == "recorded" else load_desired(context, variables)
    if loaded and desired:
        check_account(loaded.state, context.account, service_host(desired))
    return desired, find_targets(records_by_address(loaded), desired, patterns, choice)


def _no_key(state: State) -> OperationError:
    if state.lineage:
        return OperationError(
            "the state has no key for hashes yet, so it is from before members were shown as "
            "hashes",
            hint="The next apply that changes something makes one.",
        )
    return OperationError(
        "there is no state, so no member was shown as a hash",
        hint="Run this in the workspace that the hash is from, or name it with -C and --env.",
    )


def _sources_by_address(
    found: Mapping[int, tuple[Load, tuple[str | None, ...]]],
) -> Mapping[str, tuple[SourceOfUser, ...]]:
    from segctl.planning.source_diagnostics import source_name  # noqa: PLC0415 - heavy

    sources: dict[str, list[SourceOfUser]] = {}
    for load, values in found.values():
        source = SourceOfUser(
            name=source_name(load),
            place=str(load.source.location),
            role="include" if isinstance(load, TableLoad) else load.role,
        )
        if isinstance(load, TableLoad):
            addresses = [load.segments[v] for v in values if v is not None and v in load.segments]
        else:
            addresses = list(load.addresses)
        for address in addresses:
            sources.setdefault(address, []).append(source)
    return {address: tuple(each) for address, each in sources.items()}


def _segments_of_user(
    targets: MemberTargets,
    found: Sequence[FoundUser],
    sources: Mapping[str, tuple[SourceOfUser, ...]],
    choice: Choice,
) -> tuple[SegmentOfUser, ...]:
    by_index = {index: a for a, index in [*targets.recorded.items(), *targets.desired.items()]}
    segments: dict[tuple[str, Kind], SegmentOfUser] = {}

    def segment(address: str, kind: Kind) -> SegmentOfUser:
        return segments.get((address, kind)) or SegmentOfUser(
            address=address,
            kind=kind,
            recorded=None if choice == "desired" else False,
            desired=None if choice == "recorded" else False,
            sources=sources.get(address, ()),
        )

    for user in found:
        if user.target_index not in by_index:
            continue  # a segment that is only read by one of these
        known = segment(by_index[user.target_index], user.kind)
        match user.what:
            case "recorded":
                known = replace(known, recorded=True)
            case "desired":
                known = replace(known, desired=True)
            case "uncertain" | "refused":
                known = replace(known, status=user.what, action=user.action)
            case _:
                known = replace(known, left_out=user.what)
        segments[known.address, known.kind] = known
    # A source has the user, and another one takes the user away before the members are computed.
    addresses = {address for address, _ in segments}
    for address in sources.keys() & targets.desired.keys() - addresses:
        if any(source.role == "include" for source in sources[address]):
            segments[address, Kind.IDENTITY] = segment(address, Kind.IDENTITY)
    return tuple(segments[key] for key in sorted(segments))
