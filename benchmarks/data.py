"""Generate the rows of a job: the same data on every machine.

    python -m benchmarks.data WHOLE.parquet --first 100 --rows 10000

writes the members with the numbers 100 to 10,099, in an order that has nothing to do
with their numbers or keys.  A key is computed from its number, so two files overlap exactly
as their numbers do, and the changes are known in advance.
"""

import argparse
from pathlib import Path

import duckdb

KEYS = {
    "email": "printf('%s.%d@mail%d.example.com', substr(md5(n::VARCHAR), 1, 8), n, n % 40)",
    "non-ASCII": "printf('%s用户%s.é%d@bücher.example', "
    "chr((19968 + n % 5000)::INTEGER), substr(md5(n::VARCHAR), 1, 6), n)",
    "200 characters": "lpad('.' || n, 200, md5(n::VARCHAR))",
}
"""SQL that computes a user key from the number n; no key sorts like n."""

STRIDES = (2_654_435_761, 2_246_822_519)
"""Primes above any number of rows: multiples of one, modulo the rows, reach every row once.

Each produces a different order, so two files with the same members differ. Neither is near a
power of ten: neighbours in one file are far from each other in the other, as in real lists. With
strides such as 1,000,000,007, a join of the two would find its rows in the processor's cache.
"""

SCATTER = "((n * 2654435761) % 4294967296)"
"""A number below 2³² that appears unrelated to n."""


def numbers(first: int, count: int, *, order: int) -> str:
    """Return a SELECT of ``count`` numbers starting at ``first``, in one of the orders."""
    return f"SELECT {first} + (i * {STRIDES[order]}) % {count} AS n FROM range({count}) AS t(i)"


def members(numbers: str, *, keys: str, segments: int, skewed: bool) -> str:
    """Return a SELECT of the members with these numbers; without a segment column if 0 segments."""
    if not segments:
        return f"SELECT {KEYS[keys]} AS identity FROM ({numbers})"
    # The cube crowds most members into the first segments: 17 % into the first of 200.
    crowded = f"floor(pow({SCATTER} / 4294967296.0, 3) * {segments})"
    number = crowded if skewed else f"{SCATTER} % {segments}"
    segment = f"printf('s%03d', ({number})::INTEGER)"
    return f"SELECT {KEYS[keys]} AS identity, {segment} AS segment FROM ({numbers})"


def write(whole: Path, select: str, *, parts: bool) -> None:
    """Write one file and, if asked, one per segment in a folder of the same name."""
    format_ = "FORMAT csv, HEADER" if whole.suffix == ".csv" else "FORMAT parquet"
    with duckdb.connect() as db:
        db.execute(f"COPY ({select}) TO '{whole}' ({format_})")
        if parts:
            db.execute("SET threads = 1")  # one file a segment
            db.execute("SET partitioned_write_max_open_files = 10000")
            folder = whole.with_suffix("")
            db.execute(
                f"COPY (FROM '{whole}') TO '{folder}' "
                f"({format_}, PARTITION_BY (segment), OVERWRITE_OR_IGNORE)"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("whole", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--order", type=int, choices=range(len(STRIDES)), default=0)
    parser.add_argument("--keys", choices=KEYS, default="email")
    parser.add_argument("--segments", type=int, default=0)
    parser.add_argument("--skewed", action="store_true")
    parser.add_argument("--parts", action="store_true")
    options = parser.parse_args()
    chosen = numbers(options.first, options.rows, order=options.order)
    select = members(chosen, keys=options.keys, segments=options.segments, skewed=options.skewed)
    write(options.whole, select, parts=options.parts)


if __name__ == "__main__":
    main()
