"""How many examples a slow property test draws: a few in the default suite, many in torture."""

import os


def examples(default: int, *, torture: int) -> int:
    """Return ``torture`` under ``make torture``, ``default`` otherwise."""
    return torture if os.environ.get("HYPOTHESIS_PROFILE") == "torture" else default
