"""The limit of ``segctl import``: DuckDB sorts the distinct keys and writes them as Parquet.

It checks no keys and makes no digest.
"""

import argparse
from pathlib import Path

import duckdb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("members")
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--memory-limit", default="")
    options = parser.parse_args()
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": options.threads,
        "temp_directory": f"{options.out}.spill",
    }
    if options.memory_limit:
        settings["memory_limit"] = options.memory_limit
    with duckdb.connect(config=settings) as db:
        [[written]] = db.execute(
            f"COPY (SELECT DISTINCT identity FROM read_parquet('{options.members}') "
            f"ORDER BY identity) TO '{options.out}' (FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()
    print(f"add {written} remove 0")


if __name__ == "__main__":
    main()
