"""The usual script: read two CSV files into sets of strings, subtract, write CSV."""

import csv
import sys
from pathlib import Path


def read(path: str) -> set[str]:
    """Return the first column, without the header."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        return {row[0] for row in rows}


def main() -> None:
    recorded, desired, out = sys.argv[1:]
    old, new = read(recorded), read(desired)
    adds, removes = new - old, old - new
    with Path(out).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows((identity, "ADD") for identity in adds)
        writer.writerows((identity, "REMOVE") for identity in removes)
    print(f"add {len(adds)} remove {len(removes)}")


if __name__ == "__main__":
    main()
