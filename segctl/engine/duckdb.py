"""The engine that runs in the process: DuckDB.

Its memory is bounded by a setting and what does not fit spills into the scratch
folder.  User SQL runs in a second, sealed database, which may read the files that
the query names and write one result file of ours.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from segctl.engine import failures, folding, sql
from segctl.engine.base import (
    EntryRows,
    Folded,
    Inline,
    LoadStats,
    Packed,
    Recorded,
    Rows,
    Scan,
    Select,
    TargetDiff,
)
from segctl.identity import Kind, Problem, SetDigest
from segctl.outcomes import Ledger
from segctl.packing import Limits, Packing, pack
from segctl.plan.model import Sample

SAMPLE_SIZE = 10
"""How many members a sign a reader is shown."""

_OPTIONS = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}


class DuckEngine:
    """The engine protocol (``engine/base.py``) on DuckDB."""

    def __init__(self, scratch: Path, *, threads: int | None = None, memory: str = "") -> None:
        self._scratch = scratch
        self._numbers = count()
        self._settings: dict[str, Any] = {"temp_directory": str(scratch / "spill")}
        if threads:
            self._settings["threads"] = threads
        if memory:
            self._settings["memory_limit"] = memory
        self._db = duckdb.connect(
            config={**_OPTIONS, **self._settings, "preserve_insertion_order": False}
        )
        for relation in ("included", "excluded", "kept"):
            self._db.execute(f"CREATE TABLE {relation} AS {sql.NO_ROWS}")
        self._recorded: dict[int, Recorded] = {}
        self._wanted: set[int] = set()
        self._actions: list[tuple[int, str]] = []

    def close(self) -> None:
        """Let go of everything held."""
        self._db.close()

    # Reading

    def syntax_tree(self, text: str) -> Mapping[str, Any]:
        """Parse one SELECT; raises ``RowsUnreadable`` for anything else."""
        [[document]] = self._db.execute("SELECT json_serialize_sql($1)", [text]).fetchall()
        tree: dict[str, Any] = json.loads(document)
        if tree["error"]:
            raise failures.not_a_select(tree)
        return tree

    def load(
        self,
        rows: Rows,
        *,
        targets: Sequence[int] | Mapping[str, int],
        exclude: bool = False,
    ) -> LoadStats:
        """Read a source into the desired members of its targets."""
        source = self._unchecked(rows)
        table = f"load_{next(self._numbers)}"
        labels = isinstance(targets, Mapping)
        try:
            self._db.execute(
                f"CREATE TEMP TABLE {table} AS "
                f"SELECT kind, value, {'label' if labels else 'NULL::VARCHAR AS label'}, "
                f"count(*) AS copies FROM ({source}) GROUP BY ALL"
            )
            invalid = self._invalid(table)
            first = self._first_invalid(source) if invalid and isinstance(rows, Scan) else {}
        except duckdb.Error as error:
            raise failures.explained(error, rows) from error
        stats = self._stats(
            table, invalid, first, targets if isinstance(targets, Mapping) else None
        )
        into = "excluded" if exclude else "included"
        self._assign(table, into, targets, checked=not invalid)
        self._db.execute(f"DROP TABLE {table}")
        return stats

    def _unchecked(self, rows: Rows) -> str:
        """Give a SELECT of ``kind``, ``value`` and ``label``, as the source has them."""
        match rows:
            case Inline(kind=kind, values=values):
                table = f"inline_{next(self._numbers)}"
                self._db.execute(
                    f"CREATE TEMP TABLE {table} AS SELECT unnest($1::VARCHAR[]) AS value",
                    [list(values)],
                )
                return f"SELECT '{kind}' AS kind, value, NULL::VARCHAR AS label FROM {table}"
            case Scan():
                return self._scanned(rows)
            case Select():
                return self._selected(rows)

    def _scanned(self, scan: Scan) -> str:
        """Give a SELECT over a file; refuses a missing column, and one that holds no text."""
        columns: list[str] = []
        try:
            if scan.format in ("csv", "tsv"):
                columns = self._header(scan)
            elif scan.format == "parquet":
                self._check_types(scan)
            elif scan.format == "jsonl":
                self._check_json(scan)
        except duckdb.Error as error:
            raise failures.explained(error, scan) from error
        return sql.rows_of(scan, columns)

    def _header(self, scan: Scan) -> list[str]:
        """Read the names in the first line of a csv or tsv file."""
        cursor = self._db.cursor()
        try:
            cursor.execute("SET preserve_insertion_order = true")
            first = cursor.execute(
                f"SELECT value FROM {sql.lines_of(scan.path)} LIMIT 1"
            ).fetchone()
        finally:
            cursor.execute("SET preserve_insertion_order = false")
            cursor.close()
        text = str(first[0] or "") if first else ""
        names = next(csv.reader([text], delimiter="\t" if scan.format == "tsv" else ","), [])
        for column in filter(None, (scan.column, scan.segment_column)):
            if column not in names:
                raise failures.no_column(column, names)
            if names.count(column) > 1:
                raise failures.column_twice(column)
        return [n if names.index(n) == i else f"{n} ({i})" for i, n in enumerate(names)]

    def _check_types(self, scan: Scan) -> None:
        table = f"read_parquet({sql.literal(str(scan.path))})"
        described = self._db.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
        types = {row[0]: row[1] for row in described}
        for column in filter(None, (scan.column, scan.segment_column)):
            if column not in types:
                raise failures.no_column(column, list(types))
            if types[column] != "VARCHAR" and not types[column].startswith("ENUM"):
                raise failures.not_text(column, types[column], scan.path.name)

    def _check_json(self, scan: Scan) -> None:
        """Refuse values that are neither text nor whole numbers as written."""
        wrong = self._db.execute(
            f"SELECT type, count(*) FROM ({sql.rows_of(scan)}) WHERE type NOT IN "
            "('VARCHAR', 'UBIGINT', 'BIGINT', 'NULL') GROUP BY type ORDER BY type"
        ).fetchall()
        if wrong:
            raise failures.not_text_in_json(scan.column, dict(wrong))

    def _selected(self, select: Select) -> str:
        """Run a user's query where it can do no harm; give a SELECT over its result."""
        out = self._scratch / f"query_{next(self._numbers)}.parquet"
        parameters = dict(select.parameters)
        sealed = duckdb.connect(config={**_OPTIONS, **self._settings})
        try:
            allowed = sql.paths([*select.files, out])
            sealed.execute(f"SET allowed_paths = {allowed}")
            sealed.execute("SET enable_external_access = false")
            sealed.execute("SET lock_configuration = true")
            probe = sealed.execute(f"SELECT * FROM ({select.sql}\n) LIMIT 0", parameters)
            columns = failures.check_result(
                {column[0]: str(column[1]) for column in probe.description}, select
            )
            sealed.execute(
                f"COPY (SELECT {columns} FROM ({select.sql}\n)) TO {sql.literal(str(out))} "
                "(FORMAT parquet, USE_TMP_FILE false)",
                parameters,
            )
        except duckdb.Error as error:
            raise failures.explained(error, select) from error
        finally:
            sealed.close()
        result = f"read_parquet({sql.literal(str(out))})"
        [[both]] = self._db.execute(
            f"SELECT count(*) FROM {result} WHERE identity IS NOT NULL AND guid IS NOT NULL"
        ).fetchall()
        if both:
            raise failures.both_keys(both)
        return (
            "SELECT CASE WHEN guid IS NULL THEN 'identity' ELSE 'guid' END AS kind, "
            f"coalesce(identity, guid) AS value, label FROM {result}"
        )

    def _invalid(self, table: str) -> dict[Problem, int]:
        found = self._db.execute(
            f"SELECT {sql.PROBLEM} AS problem, sum(copies)::BIGINT FROM {table} "
            "GROUP BY problem HAVING problem IS NOT NULL ORDER BY problem"
        )
        return {Problem(problem): rows for problem, rows in found.fetchall()}

    def _first_invalid(self, source: str) -> dict[Problem, int]:
        """Find the first bad row of each kind; reads the source again, in order."""
        self._db.execute("SET preserve_insertion_order = true")
        try:
            found = self._db.execute(
                f"SELECT problem, min(number) FROM (SELECT {sql.PROBLEM} AS problem, "
                f"row_number() OVER () AS number FROM ({source})) "
                "WHERE problem IS NOT NULL GROUP BY problem"
            ).fetchall()
        finally:
            self._db.execute("SET preserve_insertion_order = false")
        return {Problem(problem): row for problem, row in found}

    def _stats(
        self,
        table: str,
        invalid: Mapping[Problem, int],
        first: Mapping[Problem, int],
        labels: Mapping[str, int] | None,
    ) -> LoadStats:
        [[rows, distinct]] = self._db.execute(
            f"SELECT coalesce(sum(copies), 0)::BIGINT, count(*) FROM {table}"
        ).fetchall()
        others: list[tuple[str | None, int]] = []
        others_rows = 0
        if labels is not None:
            others = self._db.execute(
                f"SELECT label, sum(copies)::BIGINT AS n FROM {table} "
                "WHERE label IS NULL OR NOT list_contains($1::VARCHAR[], label) "
                "GROUP BY label ORDER BY n DESC, label",
                [list(labels)],
            ).fetchall()
            others_rows = sum(n for _, n in others)
        return LoadStats(
            rows=rows,
            duplicates=rows - distinct,
            invalid=invalid,
            first=first,
            others=tuple(("(no value)" if v is None else v, n) for v, n in others[:SAMPLE_SIZE]),
            others_rows=others_rows,
        )

    def _assign(
        self,
        table: str,
        into: str,
        targets: Sequence[int] | Mapping[str, int],
        *,
        checked: bool,
    ) -> None:
        valid = "true" if checked else f"({sql.PROBLEM}) IS NULL"
        if isinstance(targets, Mapping):
            self._db.execute(
                f"INSERT INTO {into} SELECT t.target, l.kind, l.value FROM {table} AS l "
                "JOIN (SELECT unnest($1::VARCHAR[]) AS label, unnest($2::INTEGER[]) AS target) "
                f"AS t ON l.label = t.label WHERE {valid}",
                [list(targets), list(targets.values())],
            )
        else:
            self._db.execute(
                f"INSERT INTO {into} SELECT t.target, l.kind, l.value FROM {table} AS l "
                f"CROSS JOIN (SELECT unnest($1::INTEGER[]) AS target) AS t WHERE {valid}",
                [list(targets)],
            )

    # Comparing

    def record(self, target: int, recorded: Recorded, *, wanted: bool) -> None:
        """Name what is recorded of a target; not ``wanted`` means that it is to be emptied."""
        self._recorded[target] = recorded
        if wanted:
            self._wanted.add(target)

    def diff(self) -> Mapping[int, TargetDiff]:
        """Compare everything loaded with everything recorded."""
        folding.view_recorded(self._db, self._recorded)
        self._db.execute(
            "CREATE TABLE desired AS SELECT DISTINCT target, kind, value FROM included AS i "
            "ANTI JOIN excluded AS e USING (target, kind, value) "
            "WHERE list_contains($1::INTEGER[], target)",
            [sorted(self._wanted)],
        )
        self._db.execute(f"CREATE TABLE compared AS {sql.COMPARED}")
        self._db.execute(f"CREATE TABLE unanswered AS {sql.UNANSWERED}")
        self._db.execute(sql.DELTA)
        return self._counted()

    def _counted(self) -> dict[int, TargetDiff]:
        counts = {row[0]: row[1:] for row in self._db.execute(sql.COUNTS).fetchall()}
        refused = dict(self._db.execute(sql.QUARANTINED).fetchall())
        samples = self._samples()
        result = {}
        for target, recorded in self._recorded.items():
            add, remove, reasserted, joining, leaving = counts.get(target, (0,) * 5)
            before = recorded.digest.count
            result[target] = TargetDiff(
                desired=before + joining - leaving,
                recorded=before,
                add=add,
                remove=remove,
                reasserted=reasserted,
                quarantined=refused.get(target, 0),
                leaving=leaving,
                sample=samples.get(target, Sample()),
            )
        return result

    def _samples(self) -> dict[int, Sample]:
        found: dict[int, dict[str, tuple[tuple[Kind, str], ...]]] = {}
        rows = self._db.execute(sql.SAMPLE, {"most": SAMPLE_SIZE}).fetchall()
        for target, action, members in rows:
            found.setdefault(target, {})[action] = tuple(
                (Kind(m["kind"]), m["value"]) for m in members
            )
        return {
            target: Sample(add=signs.get("ADD", ()), remove=signs.get("REMOVE", ()))
            for target, signs in found.items()
        }

    def take_delta(self, delta: Path, recorded: Mapping[int, Recorded]) -> int:
        """Take a saved delta, less what is recorded as done since; give what is left."""
        self._recorded = dict(recorded)
        folding.view_recorded(self._db, recorded)
        self._db.execute(
            "CREATE OR REPLACE TABLE saved AS SELECT target, action, kind, value "
            f"FROM read_parquet({sql.literal(str(delta))})"
        )
        self._db.execute(sql.STILL_WANTED)
        [[left]] = self._db.execute("SELECT count(*) FROM delta").fetchall()
        return int(left)

    def delta_digest(self, keys: Sequence[str]) -> SetDigest:
        """Digest the delta: its rows and their number, whatever their order."""
        row = "key || chr(31) || action || chr(31) || " + sql.CANONICAL
        [[rows, high, low]] = self._db.execute(
            f"SELECT count(*), {sql.digest(row)} FROM delta AS d JOIN (SELECT "
            "unnest($1::VARCHAR[]) AS key, unnest($2::INTEGER[]) AS target) AS k USING (target)",
            [list(keys), list(range(len(keys)))],
        ).fetchall()
        return folding.digest_of(rows, high, low)

    # Packing

    def pack(self, keys: Sequence[str], limits: Limits, *, settle_seconds: float) -> Packed:
        """Pack the delta; what waits for a settle time is packed apart and goes last."""
        self._db.execute(sql.PEOPLE)
        ops = self._db.execute("SELECT DISTINCT target, action FROM delta").fetchall()
        self._actions = sorted(ops, key=lambda op: (keys[op[0]], op[1]))
        self._db.execute(
            "CREATE OR REPLACE TABLE ops AS SELECT unnest($1::INTEGER[]) AS target, "
            "unnest($2::VARCHAR[]) AS action, unnest($3::INTEGER[]) AS number",
            [
                [target for target, _ in self._actions],
                [action for _, action in self._actions],
                list(range(len(self._actions))),
            ],
        )
        now = self._packed("settle_from IS NULL", limits)
        late = self._packed("settle_from IS NOT NULL", limits)
        self._carry(now, late)
        [[asked]] = self._db.execute("SELECT max(settle_from) FROM delta").fetchall()
        return Packed(
            requests=now.requests + late.requests,
            naive=now.naive + late.naive,
            floor=now.floor + late.floor,
            settle_from=now.requests,
            settled_at=0.0 if asked is None else asked + settle_seconds,
        )

    def _packed(self, which: str, limits: Limits) -> Packing:
        columns = self._db.execute(
            "SELECT p.number AS person, o.number AS op FROM delta AS d "
            "JOIN people AS p ON d.kind = p.kind AND d.value = p.value "
            f"JOIN ops AS o ON d.target = o.target AND d.action = o.action WHERE {which}"
        ).fetchnumpy()
        removal = np.array([action == "REMOVE" for _, action in self._actions], dtype=np.bool_)
        return pack(
            np.asarray(columns["person"], dtype=np.int64),
            np.asarray(columns["op"], dtype=np.int64),
            removal=removal,
            limits=limits,
        )

    def _carry(self, now: Packing, late: Packing) -> None:
        """Put both packings into tables: who and what each entry of each request holds."""
        request = np.concatenate([now.request, late.request + now.requests])
        entry = np.arange(len(request), dtype=np.int64)
        user_counts = np.concatenate([np.diff(now.user_start), np.diff(late.user_start)])
        op_counts = np.concatenate([np.diff(now.op_start), np.diff(late.op_start)])
        tables = {
            "entry_requests": {"entry": entry, "request": request},
            "entry_people": {
                "entry": np.repeat(entry, user_counts),
                "number": np.concatenate([now.users, late.users]),
            },
            "entry_ops": {
                "entry": np.repeat(entry, op_counts),
                "number": np.concatenate([now.ops, late.ops]),
            },
        }
        for table, columns in tables.items():
            self._db.register("columns_in", columns)
            self._db.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM columns_in")
            self._db.unregister("columns_in")

    def save(self, delta: Path, batches: Path) -> None:
        """Write the packed delta and the batches as Parquet."""
        self._db.execute(
            "COPY (SELECT r.request, o.target, o.action, p.kind, p.value, d.recorded, "
            "d.reasserted, d.settle_from FROM entry_requests AS r "
            "JOIN entry_people AS ep USING (entry) JOIN people AS p ON ep.number = p.number "
            "JOIN entry_ops AS eo USING (entry) JOIN ops AS o ON eo.number = o.number "
            "JOIN delta AS d ON d.target = o.target AND d.action = o.action "
            "AND d.value = p.value AND d.kind = p.kind) "
            f"TO {sql.literal(str(delta))} (FORMAT parquet, COMPRESSION zstd)"
        )
        self._db.execute("SET preserve_insertion_order = true")
        self._db.execute(
            "COPY (SELECT r.request, r.entry, u.kinds, u.names, a.targets, a.actions "
            "FROM entry_requests AS r JOIN (SELECT entry, list(p.kind ORDER BY p.number) AS kinds, "
            "list(p.value ORDER BY p.number) AS names FROM entry_people AS ep "
            "JOIN people AS p ON ep.number = p.number GROUP BY entry) AS u USING (entry) "
            "JOIN (SELECT entry, list(o.target ORDER BY o.number) AS targets, "
            "list(o.action ORDER BY o.number) AS actions FROM entry_ops AS eo "
            "JOIN ops AS o ON eo.number = o.number GROUP BY entry) AS a USING (entry) "
            "ORDER BY r.request, r.entry) "
            f"TO {sql.literal(str(batches))} (FORMAT parquet, COMPRESSION zstd)"
        )
        self._db.execute("SET preserve_insertion_order = false")

    def entries(self, batches: Path, *, start: int = 0) -> Iterator[EntryRows]:
        """Stream the entries of saved batches in sending order."""
        cursor = self._db.cursor()
        cursor.execute("SET preserve_insertion_order = true")
        try:
            cursor.execute(
                "SELECT request, kinds, names, targets, actions "
                f"FROM read_parquet({sql.literal(str(batches))}) WHERE request >= $1",
                [start],
            )
            while chunk := cursor.fetchmany(256):
                for request, kinds, names, targets, actions in chunk:
                    yield EntryRows(
                        request=request,
                        users=tuple(zip(map(Kind, kinds), names, strict=True)),
                        actions=tuple(zip(targets, actions, strict=True)),
                    )
        finally:
            cursor.close()

    # Recording

    def fold(
        self, delta: Path, ledger: Ledger, recorded: Mapping[int, Recorded]
    ) -> Mapping[int, Folded]:
        """Give what outcomes make of each recorded target."""
        return folding.fold(self._db, self._scratch, delta, ledger, recorded)

    def digest(self, recorded: Recorded) -> SetDigest:
        """Digest a recorded set in full."""
        folding.view_recorded(self._db, {0: recorded})
        [[rows, high, low]] = self._db.execute(
            f"SELECT count(*), {sql.digest(sql.CANONICAL)} FROM recorded"
        ).fetchall()
        return folding.digest_of(rows, high, low)
