"""``segctl members``: list, count and compare the members of segments."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.core.errors import WrongUsage
from segctl.core.member_hash import HASH_DIGITS, parse_hash
from segctl.core.member_sets import SegmentSet
from segctl.render import members_view
from segctl.render.grouping import group_findings
from segctl.render.member_format import Identities, MemberFormat
from segctl.render.phrases import format_count
from segctl.render.report import unfinished_line
from segctl.render.style import escaped
from segctl.render.text import finding_lines
from segctl.workflows.member_selection import Choice, is_glob
from segctl.workflows.members import OpenMembers, check_pairs, matching, open_members
from segctl.workflows.user_segments import find_user, find_users_by_hash

_NO_VALUE = "\0"
"""The value of ``--overlap`` or ``--find`` without one. No argument of a program has a NUL."""

_WITH_SEVERAL_VALUES = ("--overlap", "--find")

_MAX_KEY = 65_536
"""Characters that are read from standard input for ``--of -``."""

_HASHED = "Members are shown as hashes. --identities full prints user keys.\n"
_NOT_HASHED = (
    "Only the number is shown: the first apply makes the key that members are hashed with. "
    "--identities full prints user keys.\n"
)

_NO_MATCH: dict[Choice, tuple[str, str]] = {
    "either": ("no recorded or desired member", ""),
    "both": ("no recorded or desired member", ""),
    "recorded": (
        "no recorded member",
        "Without --recorded, users whom an apply would add are found too. ",
    ),
    "desired": ("no desired member", "Without --desired, recorded members are found too. "),
}
"""What is printed for a hash without a user, and where else to look, by where it was looked for."""

_ELSEWHERE = "A hash belongs to one workspace and environment, and its user may have left since.\n"


class _Members(click.Command):
    """A command with options that take all values up to the next option, or none."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write each value of such an option as an option of its own."""
        return super().parse_args(ctx, list(_spread_values(args)))


def _spread_values(args: Iterable[str]) -> Iterator[str]:
    open_option, has_value = "", False
    for argument in args:
        if open_option and not argument.startswith("-"):
            yield f"{open_option}={argument}"
            has_value = True
            continue
        if open_option and not has_value:
            yield f"{open_option}={_NO_VALUE}"
        open_option, has_value = argument if argument in _WITH_SEVERAL_VALUES else "", False
        if not open_option:
            yield argument
    if open_option and not has_value:
        yield f"{open_option}={_NO_VALUE}"


@click.command(
    "members", cls=_Members, epilog="Example: segctl members gold --overlap silver 'rfm-*'"
)
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1, type=options.NonEmptyText())
@click.option("--count", is_flag=True, help="Print how many, not who.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Print N members, chosen at random but always the same ones.",
)
@click.option(
    "--overlap",
    "others",
    metavar="[OTHER]...",
    type=options.NonEmptyText(),
    multiple=True,
    help="Print how many users each ADDRESS shares with each OTHER; without one, with each other.",
)
@click.option(
    "--of",
    "user",
    metavar="KEY",
    type=options.NonEmptyText(),
    help="Print in which segments this user is, and why. With -, reads the key from standard "
    "input.",
)
@click.option(
    "--find",
    "hashes",
    metavar="HASH...",
    type=options.NonEmptyText(),
    multiple=True,
    help="Print who has a hash that a plan or a list shows, and in which segments.",
)
@click.option("--recorded", is_flag=True, help="The members that are recorded in the state.")
@click.option("--desired", is_flag=True, help="The members that the sources have now.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@options.identities
@options.limits
@common
def command(
    screen: Screen,
    *,
    addresses: tuple[str, ...],
    count: bool,
    sample: int | None,
    others: tuple[str, ...],
    user: str | None,
    hashes: tuple[str, ...],
    recorded: bool,
    desired: bool,
    as_json: bool,
    identities: str | None,
) -> None:
    """List, count and compare the members of segments.

    Prints the recorded members, or the desired ones of a segment that is not recorded
    yet. With --recorded and --desired, prints how the two differ. ADDRESS and OTHER can be
    globs. Changes nothing and takes no lock.
    """
    asked = [name for name, value in _questions(count, sample, others, user, hashes) if value]
    if len(asked) > 1:
        raise WrongUsage(f"{' and '.join(asked)} cannot be combined")
    choice = _choice(recorded=recorded, desired=desired)
    if choice == "both" and asked not in ([], ["--of"], ["--find"]):
        raise WrongUsage(
            f"--recorded and --desired together print how they differ, without {asked[0]}"
        )
    if user is not None:
        _show_user(screen, user, addresses, choice, as_json=as_json)
        return
    mode = options.identities_mode(identities, view="text")
    if hashes:
        _show_found(screen, hashes, addresses, choice, mode, as_json=as_json)
        return
    is_list = not asked or sample is not None
    if is_list and not addresses and choice != "both":
        raise WrongUsage("name a segment", hint="`segctl members --count` lists all of them.")
    counts_only = count or (is_list and mode is Identities.NONE and not as_json)
    with open_members(
        screen.context(),
        (*(addresses or ("*",)), *(other for other in others if other != _NO_VALUE)),
        choice,
        variables=screen.variables,
        counts_only=counts_only,
    ) as members:
        _tell(screen, members, choice)
        if choice == "both":
            _show_differences(screen, members, as_json=as_json)
        elif others:
            _show_overlaps(screen, members, addresses, others, as_json=as_json)
        elif counts_only:
            _show_counts(screen, members, addresses, as_json=as_json)
        else:
            is_asked = identities is not None
            _show_list(
                screen, members, mode, sample=sample, as_json=as_json, is_mode_asked=is_asked
            )


def _questions(
    count: bool,
    sample: int | None,
    others: tuple[str, ...],
    user: str | None,
    hashes: tuple[str, ...],
) -> list[tuple[str, bool]]:
    return [
        ("--count", count),
        ("--sample", sample is not None),
        ("--overlap", bool(others)),
        ("--of", user is not None),
        ("--find", bool(hashes)),
    ]


def _choice(*, recorded: bool, desired: bool) -> Choice:
    if recorded and desired:
        return "both"
    return "recorded" if recorded else "desired" if desired else "either"


def _tell(screen: Screen, members: OpenMembers, choice: Choice) -> None:
    for found in group_findings(members.findings):
        lines = finding_lines(found, style=screen.err_style)
        screen.err(screen.add_run_options("".join(f"{line}\n" for line in lines)))
    if choice == "either" and (note := members_view.desired_note(members.sets)):
        screen.err(note + "\n")
    if members.recovered:
        screen.err(unfinished_line(members.recovered, running="") + "\n")


def _show_counts(
    screen: Screen, members: OpenMembers, addresses: tuple[str, ...], *, as_json: bool
) -> None:
    if as_json:
        screen.out(members_view.counts_json(members.sets))
        return
    is_one = len(addresses) == 1 and not is_glob(addresses[0])
    screen.out(members_view.render_counts(members.sets, is_one=is_one))


def _show_differences(screen: Screen, members: OpenMembers, *, as_json: bool) -> None:
    differences = members.differences()
    screen.out(
        members_view.differences_json(differences)
        if as_json
        else members_view.render_differences(differences, style=screen.out_style)
    )


def _show_overlaps(
    screen: Screen,
    members: OpenMembers,
    addresses: tuple[str, ...],
    others: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    lefts = matching(members.sets, addresses)
    rights = lefts if others == (_NO_VALUE,) else matching(members.sets, others)
    check_pairs(lefts, rights)
    overlaps = members.overlaps(lefts, rights)
    screen.out(
        members_view.overlaps_json(overlaps)
        if as_json
        else members_view.render_overlaps(overlaps, style=screen.out_style)
    )


def _show_list(
    screen: Screen,
    members: OpenMembers,
    mode: Identities,
    *,
    sample: int | None,
    as_json: bool,
    is_mode_asked: bool,
) -> None:
    one = _only_one(members.sets)
    if not one.count:
        screen.err(f"{escaped(one.address)} has no members.\n")
    elif mode is Identities.MASKED and not is_mode_asked and not sys.stdout.isatty():
        screen.err(_HASHED if members.member_key else _NOT_HASHED)
    if one.count:
        mode = MemberFormat(mode=mode, key=members.member_key).shown
    if mode is Identities.NONE and not as_json:
        screen.out(members_view.render_counts([one], is_one=True))
        return
    with_kind = members.has_guids(one)
    with closing(
        members.iter_lines(
            one, hashed=mode is Identities.MASKED, with_kind=with_kind, sample=sample
        )
    ) as lines:
        pieces = (
            members_view.iter_list_json(
                one, lines, identities=mode, with_kind=with_kind, sample=sample
            )
            if as_json
            else members_view.iter_list_text(lines)
        )
        for piece in pieces:
            screen.out(piece)
            if screen.is_closed:
                break


def _only_one(sets: tuple[SegmentSet, ...]) -> SegmentSet:
    if len(sets) == 1:
        return sets[0]
    names = ", ".join(each.address for each in sets[:5]) + (", …" if sets[5:] else "")
    raise WrongUsage(
        f"this names {format_count(len(sets), 'segment')}: {names}" if sets else "no segment is it",
        hint="A list is of one segment. --count, --overlap, and --recorded with --desired take "
        "several.",
    )


def _show_user(
    screen: Screen, user: str, addresses: tuple[str, ...], choice: Choice, *, as_json: bool
) -> None:
    key = sys.stdin.readline(_MAX_KEY).rstrip("\r\n") if user == "-" else user
    if not _is_utf8(key):
        raise WrongUsage("the key is not valid UTF-8, so it is in no segment")
    segments = find_user(screen.context(), key, addresses, choice, variables=screen.variables)
    screen.out(members_view.user_json(segments) if as_json else members_view.render_user(segments))


def _show_found(
    screen: Screen,
    texts: tuple[str, ...],
    addresses: tuple[str, ...],
    choice: Choice,
    mode: Identities,
    *,
    as_json: bool,
) -> None:
    hashes = tuple(dict.fromkeys(map(_parse_hash, texts)))
    found = find_users_by_hash(
        screen.context(), hashes, addresses, choice, variables=screen.variables
    )
    # The hash is known already, so a masked member is shown by its hash alone.
    shown = MemberFormat(mode=Identities.FULL if mode is Identities.FULL else Identities.NONE)
    no_match, elsewhere = _NO_MATCH[choice]
    screen.out(
        members_view.found_json(found, hashes, shown)
        if as_json
        else members_view.render_found(found, hashes, shown, no_match=no_match)
    )
    if found and shown.shown is Identities.NONE and mode is Identities.MASKED:
        screen.err("User keys are not shown. --identities full prints them.\n")
    if len({each.hash for each in found}) < len(hashes):
        screen.err(elsewhere + _ELSEWHERE)


def _parse_hash(text: str) -> str:
    if text == _NO_VALUE:
        raise WrongUsage(
            "--find has no hash",
            hint="In a shell, # begins a comment: leave it out, or put the hash in quotes.",
        )
    if found := parse_hash(text):
        return found
    raise WrongUsage(
        f"a hash of a member is {HASH_DIGITS} hexadecimal digits, such as 9f2c1ab07d; one that is "
        f"given has {len(text)} characters",
        hint="Write addresses before --find. For a user whose key you know, use --of.",
    )


def _is_utf8(text: str) -> bool:
    """Whether a text from the command line or standard input can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
