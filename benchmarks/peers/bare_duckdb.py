"""The limit: one FULL JOIN in DuckDB over the two files, differences written as Parquet.

It checks no keys and makes no digest, sample, requests or plan.
"""

import argparse
from pathlib import Path

import duckdb

JOIN = """
COPY (
  SELECT {both} CASE WHEN r.identity IS NULL THEN 'ADD' ELSE 'REMOVE' END AS action
  FROM {recorded} AS r FULL JOIN {desired} AS d ON {equal}
  WHERE r.identity IS NULL OR d.identity IS NULL
) TO '{out}' (FORMAT parquet)
"""


def relation(path: str) -> str:
    """Return the SQL that reads a file, or a folder with one file per segment."""
    if path.endswith(".csv"):
        return f"read_csv('{path}', all_varchar = true, header = true)"
    return f"read_parquet('{path}')"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recorded")
    parser.add_argument("desired")
    parser.add_argument("out", type=Path)
    parser.add_argument("--segments", action="store_true", help="join on the segment too")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--memory-limit", default="")
    options = parser.parse_args()
    columns = ["segment", "identity"] if options.segments else ["identity"]
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": options.threads,
        "preserve_insertion_order": False,
        "temp_directory": f"{options.out}.spill",
    }
    if options.memory_limit:
        settings["memory_limit"] = options.memory_limit
    with duckdb.connect(config=settings) as db:
        db.execute(
            JOIN.format(
                both="".join(f"coalesce(r.{name}, d.{name}) AS {name}, " for name in columns),
                equal=" AND ".join(f"r.{name} = d.{name}" for name in columns),
                recorded=relation(options.recorded),
                desired=relation(options.desired),
                out=options.out,
            )
        )
        counted = db.execute(
            "SELECT count(*) FILTER (action = 'ADD'), count(*) FILTER (action = 'REMOVE') "
            f"FROM read_parquet('{options.out}')"
        ).fetchall()
    print("add {} remove {}".format(*counted[0]))


if __name__ == "__main__":
    main()
