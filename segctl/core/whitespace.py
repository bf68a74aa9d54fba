"""Leading and trailing white space of environment variables, which no setting of segctl has."""

REMOVE_WHITESPACE = "Remove it: a value that was pasted or read with cat often has one."


def describe_surrounding_whitespace(variable: str, value: str) -> str:
    """Return where a value has leading or trailing white space; empty if it has none.

    The value is not shown.
    """
    after = value[len(value.rstrip()) :]
    before = value[: len(value) - len(value.lstrip())]
    space, verb = (after, "ends in") if after else (before, "begins with")
    if not space:
        return ""
    what = "a line break" if {"\n", "\r"} & set(space) else "white space"
    return f"{variable} {verb} {what}"
