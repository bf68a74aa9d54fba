"""Record members with ``segctl import``, one segment after another in one process.

    python -m benchmarks.importing WORKSPACE NAME=FILE...

A team imports its segments once, so starting Python two hundred times is not part of
the measurement.
"""

import sys

from segctl.cli.main import execute


def main() -> None:
    workspace, *pairs = sys.argv[1:]
    for pair in pairs:
        name, _, file = pair.partition("=")
        code = execute(["import", name, "--members", file, "-C", workspace])
        if code:
            sys.exit(code)


if __name__ == "__main__":
    main()
