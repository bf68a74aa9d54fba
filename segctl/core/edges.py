"""Blanks around the values of environment variables, which no setting of segctl has."""

REMOVE_EDGES = "Remove it: a value that was pasted or read with cat often has one."


def describe_edges(variable: str, value: str) -> str:
    """Return whether a value begins or ends in a blank, empty if not. The value is not shown."""
    after = value[len(value.rstrip()) :]
    before = value[: len(value) - len(value.lstrip())]
    blanks, verb = (after, "ends in") if after else (before, "begins with")
    if not blanks:
        return ""
    what = "a line break" if {"\n", "\r"} & set(blanks) else "white space"
    return f"{variable} {verb} {what}"
