"""The lines of the user's files that diagnostics point at, for terminals only.

A line of a manifest can contain identities, which must not reach a log.
"""

import sys
from itertools import islice

from segctl.cli.screen import Screen
from segctl.core.diagnostics import Location
from segctl.render.diagnostics import SourceLine, no_source

_LONGEST = 200


def source_lines(screen: Screen) -> SourceLine:
    """Return a function that looks up a source line. Without a terminal it finds none."""
    if not sys.stderr.isatty():
        return no_source

    def find(location: Location) -> str | None:
        if not location.line:
            return None
        try:
            with screen.path(location.file).open(encoding="utf-8") as lines:
                found = next(islice(lines, location.line - 1, None), None)
        except (OSError, UnicodeError):
            return None
        return found if found and len(found) <= _LONGEST else None

    return find
