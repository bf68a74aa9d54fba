"""Record members with ``segctl import``, one segment after the other in one process.

    python -m benchmarks.importing WORKSPACE NAME=FILE...

A team imports its segments once; that Python starts anew for each of two hundred is no
part of what is measured.
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
