"""``segctl members``: list, count and compare the members of segments."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.core.errors import WrongUsage
from segctl.core.member_sets import SegmentSet
from segctl.render import members_view
from segctl.render.grouping import group_findings
from segctl.render.phrases import Identities, format_count
from segctl.render.report import unfinished_line
from segctl.render.style import escaped
from segctl.render.text import finding_lines
from segctl.workflows.member_selection import Choice, is_glob
from segctl.workflows.members import OpenMembers, check_pairs, matching, open_members
from segctl.workflows.user_segments import find_user

_EACH_OTHER = "\0each other"
"""The value of ``--overlap`` without one. No argument of a program can contain a NUL."""

_MAX_KEY = 65_536
"""Characters that are read from standard input for ``--of -``."""


class _Members(click.Command):
    """A command whose option ``--overlap`` takes all values up to the next option, or none."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write each value of ``--overlap`` as an option of its own."""
        return super().parse_args(ctx, list(_spread_overlap(args)))


def _spread_overlap(args: Iterable[str]) -> Iterator[str]:
    is_open = has_value = False
    for argument in args:
        if is_open and not argument.startswith("-"):
            yield f"--overlap={argument}"
            has_value = True
            continue
        if is_open and not has_value:
            yield f"--overlap={_EACH_OTHER}"
        is_open, has_value = argument == "--overlap", False
        if not is_open:
            yield argument
    if is_open and not has_value:
        yield f"--overlap={_EACH_OTHER}"


@click.command(
    "members", cls=_Members, epilog="Example: segctl members gold --overlap silver 'rfm-*'"
)
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1, type=options.Given())
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
    type=options.Given(),
    multiple=True,
    help="Print how many users each ADDRESS shares with each OTHER; without one, with each other.",
)
@click.option(
    "--of",
    "user",
    metavar="KEY",
    type=options.Given(),
    help="Print in which segments this user is, and why. With -, reads the key from standard "
    "input.",
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
    asked = [name for name, value in _questions(count, sample, others, user) if value]
    if len(asked) > 1:
        raise WrongUsage(f"{' and '.join(asked)} cannot be combined")
    choice = _choice(recorded=recorded, desired=desired)
    if choice == "both" and asked not in ([], ["--of"]):
        raise WrongUsage(
            f"--recorded and --desired together print how they differ, without {asked[0]}"
        )
    if user is not None:
        _show_user(screen, user, addresses, choice, as_json=as_json)
        return
    mode = options.identities_mode(identities, view="text")
    is_list = not asked or sample is not None
    if is_list and not addresses and choice != "both":
        raise WrongUsage("name a segment", hint="`segctl members --count` lists all of them.")
    counts_only = count or (is_list and mode is Identities.NONE and not as_json)
    with open_members(
        screen.context(),
        (*(addresses or ("*",)), *(other for other in others if other != _EACH_OTHER)),
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
    count: bool, sample: int | None, others: tuple[str, ...], user: str | None
) -> list[tuple[str, bool]]:
    return [
        ("--count", count),
        ("--sample", sample is not None),
        ("--overlap", bool(others)),
        ("--of", user is not None),
    ]


def _choice(*, recorded: bool, desired: bool) -> Choice:
    if recorded and desired:
        return "both"
    return "recorded" if recorded else "desired" if desired else "either"


def _tell(screen: Screen, members: OpenMembers, choice: Choice) -> None:
    for found in group_findings(members.findings):
        lines = finding_lines(found, style=screen.err_style)
        screen.err(screen.complete("".join(f"{line}\n" for line in lines)))
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
    rights = lefts if others == (_EACH_OTHER,) else matching(members.sets, others)
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
        screen.err("User keys are masked. --identities full prints them in full.\n")
    with_kind = members.has_guids(one)
    is_masked = mode is not Identities.FULL
    with closing(
        members.iter_lines(one, masked=is_masked, with_kind=with_kind, sample=sample)
    ) as lines:
        pieces = (
            members_view.iter_list_json(
                one, lines, identities=mode, with_kind=with_kind, sample=sample
            )
            if as_json
            else members_view.iter_list_text(lines, masked=is_masked)
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


def _is_utf8(text: str) -> bool:
    """Whether a text from the command line or standard input can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
