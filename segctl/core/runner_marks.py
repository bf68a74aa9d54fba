"""What CI runners read as the beginning of a command, wherever it is in a line."""

import re

RUNNER_MARK = re.compile(r"##(?=\[|vso\[|teamcity\[)")
"""The marks of GitHub, Azure and TeamCity."""
