"""Read the words of a command line before it is parsed: which are options, which are their values.

click sorts values by option, and reads ``-out=x`` as five options of one letter. What needs the
words in their order, or as they were typed, finds them here.
"""

from collections.abc import Mapping, Sequence

import click

from segctl.core.dataclass import dataclass

ARGUMENTS = "segctl.arguments"
"""The key in ``Context.meta`` of the words of the command line, as they were typed."""


@dataclass(frozen=True, kw_only=True)
class OptionWord:
    """One option on a command line.

    ``index`` is that of its word. ``name`` is as typed, with its dashes, ``option`` what it names
    with one dash or two; ``None`` if there is none. ``value`` is ``None`` if none was given.
    """

    index: int
    name: str
    option: click.Option | None
    value: str | None


@dataclass(frozen=True, kw_only=True)
class Level:
    """The words for one command or group: from ``start`` to before ``end``."""

    context: click.Context
    start: int
    end: int
    options: tuple[OptionWord, ...]


def split_levels(root: click.Context, arguments: Sequence[str]) -> list[Level]:
    """Return the words for the program, its group and its command, if these exist."""
    levels: list[Level] = []
    context, start = root, 0
    while True:
        is_group = isinstance(context.command, click.Group)
        options, operand = _read_level(context, arguments, start, stops=is_group)
        levels.append(Level(context=context, start=start, end=operand, options=options))
        if not isinstance(context.command, click.Group) or operand == len(arguments):
            return levels
        name = arguments[operand]
        command = context.command.get_command(context, name)
        if command is None:
            return levels
        context, start = click.Context(command, info_name=name, parent=context), operand + 1


def command_options(ctx: click.Context) -> tuple[OptionWord, ...]:
    """Return the options of the command that runs, in the order of the command line."""
    root = ctx.find_root()
    arguments: Sequence[str] = root.meta.get(ARGUMENTS, ())
    return split_levels(root, arguments)[-1].options


def _read_level(
    context: click.Context, arguments: Sequence[str], start: int, *, stops: bool
) -> tuple[tuple[OptionWord, ...], int]:
    """Return the options from ``start``, and the index of the first operand if it ``stops``."""
    known = {
        name: parameter
        for parameter in context.command.get_params(context)
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    found: list[OptionWord] = []
    index = start
    while index < len(arguments):
        word = arguments[index]
        if word == "--":
            return tuple(found), index + 1 if stops else len(arguments)
        if word.startswith("-") and word != "-":
            option = _read_option(word, index, known)
            if option.value is None and _takes_value(option.option) and index + 1 < len(arguments):
                index += 1
                option = OptionWord(
                    index=option.index,
                    name=option.name,
                    option=option.option,
                    value=arguments[index],
                )
            found.append(option)
        elif stops:
            return tuple(found), index
        index += 1
    return tuple(found), len(arguments)


def _read_option(word: str, index: int, known: Mapping[str, click.Option]) -> OptionWord:
    name, equals, value = word.partition("=")
    text = value if equals else None
    is_short = not word.startswith("--")
    option = known.get(name) or (known.get(f"-{name}") if is_short else None)
    if option is None and is_short and word[:2] in known:
        # -Cfolder, or letters of which the first takes no value
        name, option = word[:2], known[word[:2]]
        text = word[2:] if _takes_value(option) else None
    return OptionWord(index=index, name=name, option=option, value=text)


def _takes_value(option: click.Option | None) -> bool:
    return option is not None and not (option.is_flag or option.count)
