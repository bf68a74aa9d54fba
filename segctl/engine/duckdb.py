"""The engine that runs in the process: DuckDB.

Its memory is bounded by a setting (bytes), and what does not fit spills into a folder.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import duckdb

from segctl.core.errors import StateDamaged
from segctl.core.holdout import Holdout
from segctl.core.identity import IdentityProblem, Kind, SetDigest
from segctl.core.outcomes import Ledger
from segctl.core.rejects import Rejects
from segctl.engine import compare, errors, fold, memory_limit, save, sql
from segctl.engine.compare import Load
from segctl.engine.model import (
    Audit,
    Counting,
    Diff,
    FileScan,
    FoldedTarget,
    InlineRows,
    LoadStats,
    LoadTargets,
    MatchedRejects,
    PackedEntry,
    PackingSummary,
    QuarantinedPair,
    RecordedFiles,
    Rows,
    SentApply,
    SourceError,
    TargetDiff,
)
from segctl.engine.read import OPTIONS, Intake
from segctl.engine.set_operations import Algebra
from segctl.manifests.desired import Role
from segctl.plan.model import Sample, Users

SAMPLE_SIZE = 10
"""How many members a sign a reader is shown."""


class DuckEngine:
    """The engine protocol (``engine/protocols.py``) on DuckDB."""

    def __init__(
        self,
        scratch: Path,
        *,
        threads: int | None = None,
        memory: int | None = None,
        spill: Path | None = None,
    ) -> None:
        self._scratch = scratch
        spill = spill or scratch
        self.means = memory_limit.MemoryLimits(memory=memory, folder=spill.parent)
        self._numbers = count()
        self._settings: dict[str, Any] = {"temp_directory": str(spill / "spill")}
        if threads:
            self._settings["threads"] = threads
        if memory:
            self._settings["memory_limit"] = f"{memory}B"
        self._db = duckdb.connect(
            config={**OPTIONS, **self._settings, "preserve_insertion_order": False}
        )
        self._intake = Intake(self._db, scratch, self._settings, self._numbers)
        self._algebra = Algebra(self._db, next(self._numbers))
        self._loads: list[Load] = []
        self._recorded: dict[int, RecordedFiles] = {}
        self._wanted: set[int] = set()

    def close(self) -> None:
        """Let go of everything held."""
        self._db.close()

    # Reading

    def parse_select(self, sql_text: str) -> Mapping[str, Any]:
        """Parse one SELECT; raises ``SourceError`` for anything else."""
        [[document]] = self._db.execute("SELECT json_serialize_sql($1)", [sql_text]).fetchall()
        tree: dict[str, Any] = json.loads(document)
        if tree["error"]:
            raise errors.not_a_select(tree)
        return tree

    def query_environment(self) -> Mapping[str, str]:
        """Tell what queries may depend on beside their files."""
        [[zone]] = self._db.execute("SELECT current_setting('TimeZone')").fetchall()
        return {"duckdb": duckdb.__version__, "zone": zone}

    @memory_limit.explained
    def load(
        self,
        rows: Rows,
        *,
        targets: LoadTargets,
        role: Role = "include",
    ) -> int:
        """Take a source in for its targets; give the number of this load."""
        number = next(self._numbers)
        select = self._intake.relation(rows, number)
        try:
            count = self._count(rows, select)
            load = Load(number=number, source=rows, select=select, rows=count, targets=targets)
            if role == "include":
                self._loads.append(load)
            else:
                self._intake.settle()
                self._algebra.take(load, role)
        except duckdb.Error as error:
            raise self._intake.explained(error, rows) from error
        return number

    def _count(self, rows: Rows, select: str) -> int:
        if isinstance(rows, InlineRows):
            return len(rows.values)
        [[count]] = self._db.execute(f"SELECT count(*) FROM ({select})").fetchall()
        return int(count)

    def hold_out(self, target_index: int, holdout: Holdout) -> None:
        """Leave a share of the users out of a target."""
        self._algebra.hold_out(target_index, holdout)

    def retain_members(self, target_index: int) -> None:
        """Have the members that a target is to have at hand for questions."""
        self._algebra.retain_members(target_index)

    def _with_first(self, load: Load, stats: LoadStats) -> LoadStats:
        """Find the first bad row of each kind in the files; reads them again, in order."""
        if not isinstance(load.source, FileScan) or not stats.invalid:
            return stats
        first: dict[IdentityProblem, int] = {}
        files: dict[IdentityProblem, Path] = {}
        for path in load.source.paths:
            alone = replace(load.source, paths=(path,))
            for problem, row in self._first_invalid(self._intake.in_order(alone)):
                first.setdefault(problem, row)
                files.setdefault(problem, path)
            if first.keys() >= stats.invalid.keys():
                break
        several = len(load.source.paths) > 1
        return replace(stats, first_rows=first, first_files=files if several else {})

    def _first_invalid(self, select: str) -> list[tuple[IdentityProblem, int]]:
        with save.in_order(self._db):
            found = self._db.execute(
                f"SELECT problem, min(number) FROM (SELECT {sql.PROBLEM} AS problem, "
                f"row_number() OVER () AS number FROM ({select})) "
                "WHERE problem IS NOT NULL GROUP BY problem"
            ).fetchall()
        return [(IdentityProblem(problem), row) for problem, row in found]

    # Comparing

    def set_recorded(self, target_index: int, recorded: RecordedFiles, *, wanted: bool) -> None:
        """Name what is recorded of a target; not ``wanted`` means that it is to be emptied."""
        self._recorded[target_index] = recorded
        if wanted:
            self._wanted.add(target_index)

    @memory_limit.explained
    def diff(self, *, retry_before: float | None = None) -> Diff:
        """Compare everything loaded with everything recorded; see ``Engine.diff``."""
        try:
            self._intake.settle()
            fold.view_recorded(self._db, self._recorded)
            fold.check_counts(self._db, self._recorded)
            loads = self._algebra.compose(self._loads, self._wanted)
            compare.compare(
                self._db,
                loads,
                self._wanted,
                self._recorded,
                sieves=self._algebra.sieves,
            )
            aside = self._algebra.aside(loads, self._wanted)
        except duckdb.Error as error:
            raise self._culprit(error) from error
        self._db.execute(sql.RELEASED)
        if retry_before is not None:
            self._db.execute(sql.EXPIRED, [retry_before])
        [[pairs]] = self._db.execute("SELECT count(*) FROM pairs").fetchall()
        self._db.execute(sql.DELTA_BESIDE_PAIRS if pairs else sql.DELTA)
        judged = self._algebra.stats
        stats = judged | compare.judge(
            self._db,
            loads,
            self._wanted,
            self._recorded,
            sieved=bool(self._algebra.sieves),
            judged={*judged, self._algebra.number},
        )
        self._db.execute("DROP TABLE unmatched")
        told = {
            load.number: self._with_first(load, stats[load.number])
            for load in [*self._loads, *self._algebra.taken]
        }
        return Diff(targets=self._counted(aside), loads=told)

    def _culprit(self, error: duckdb.Error) -> SourceError | StateDamaged | duckdb.Error:
        """Find which input an error came from, by reading each alone."""
        if memory_limit.is_shortage(error):
            return error
        for load in [*self._loads, *self._algebra.taken]:
            try:
                self._db.execute(sql.READ_ALL.format(rows=load.select)).fetchall()
            except duckdb.Error as alone:
                found = self._intake.explained(alone, load.source)
                found.load_number = load.number
                return found
        try:
            self._db.execute(sql.READ_ALL.format(rows="FROM recorded")).fetchall()
        except duckdb.Error:
            return errors.member_file_unreadable()
        return error

    def _counted(self, aside: Mapping[int, Mapping[str, int]]) -> dict[int, TargetDiff]:
        counts = {row[0]: row[1:] for row in self._db.execute(sql.COUNTS).fetchall()}
        refused = {row[0]: row[1:] for row in self._db.execute(sql.QUARANTINED).fetchall()}
        samples = self._samples()
        result = {}
        for target, recorded in self._recorded.items():
            add, remove, reasserted, joining, leaving = counts.get(target, (0,) * 5)
            quarantined, kept_out = refused.get(target, (0, 0))
            after = recorded.digest.count + joining - leaving
            result[target] = TargetDiff(
                declared=after + kept_out - (quarantined - kept_out),
                desired=after,
                recorded=recorded.digest.count,
                add=add,
                remove=remove,
                reasserted=reasserted,
                quarantined=quarantined,
                leaving=leaving,
                sample=samples.get(target, Sample()),
                **aside.get(target, {}),
            )
        return result

    def count_members(self, target_index: int) -> int:
        """Count the members that a kept target is to have."""
        return self._algebra.count_members(target_index)

    def find_shared(self, target_indexes: Sequence[int]) -> Mapping[tuple[int, int], Users]:
        """Give the users whom each two of these kept targets are to share, the most first."""
        return self._algebra.find_shared(target_indexes)

    def find_outside(self, target_indexes: Sequence[int], container: int) -> Mapping[int, Users]:
        """Give the members of each of these kept targets that are not in another one, if any."""
        return self._algebra.find_outside(target_indexes, container)

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

    @memory_limit.explained
    def load_saved_delta(self, delta: Path, recorded: Mapping[int, RecordedFiles]) -> int:
        """Take a saved delta, less what is recorded as done since; give what is left."""
        self._recorded = dict(recorded)
        fold.view_recorded(self._db, recorded)
        fold.check_counts(self._db, recorded)
        self._db.execute(
            "CREATE OR REPLACE TABLE saved AS SELECT target, action, kind, value "
            f"FROM read_parquet({sql.file(delta)}) WHERE request >= 0"
        )
        self._db.execute(sql.RELEASED_BY.format(delta=sql.file(delta)))
        self._db.execute(sql.STILL_WANTED)
        [[left]] = self._db.execute("SELECT count(*) FROM delta").fetchall()
        return int(left)

    @memory_limit.explained
    def digest_delta(self, keys: Sequence[str]) -> SetDigest:
        """Digest the delta: its rows and their number, whatever their order."""
        row = "key || chr(31) || action || chr(31) || " + sql.CANONICAL
        [[rows, high, low]] = self._db.execute(
            f"SELECT count(*), {sql.digest(row)} FROM delta AS d JOIN (SELECT "
            "unnest($1::VARCHAR[]) AS key, unnest($2::INTEGER[]) AS target) AS k USING (target)",
            [list(keys), list(range(len(keys)))],
        ).fetchall()
        return fold.digest_of(rows, high, low)

    # Packing

    @memory_limit.explained
    def pack(
        self, keys: Sequence[str], *, counting: Counting, settle_seconds: float
    ) -> PackingSummary:
        """Pack the delta; what waits for a settle time is packed apart and goes last."""
        return save.pack(self._db, keys, counting, settle_seconds=settle_seconds)

    @memory_limit.explained
    def save(self, delta: Path, batches: Path) -> None:
        """Write the packed delta and the batches as Parquet."""
        save.save(self._db, delta, batches, memory=self.means.memory)

    def iter_entries(self, batches: Path) -> Iterator[PackedEntry]:
        """Stream the entries of saved batches in sending order."""
        cursor = self._db.cursor()
        cursor.execute("SET preserve_insertion_order = true")
        try:
            cursor.execute(
                "SELECT request, kinds, names, targets, actions "
                f"FROM read_parquet({sql.file(batches)})",
            )
            while chunk := cursor.fetchmany(256):
                for request, kinds, names, targets, actions in chunk:
                    yield PackedEntry(
                        request=request,
                        users=tuple(zip(map(Kind, kinds), names, strict=True)),
                        actions=tuple(zip(targets, actions, strict=True)),
                    )
        finally:
            cursor.close()

    # Recording

    @memory_limit.explained
    def fold(
        self, delta: Path, ledger: Ledger, recorded: Mapping[int, RecordedFiles]
    ) -> Mapping[int, FoldedTarget]:
        """Give what outcomes make of each recorded target."""
        return fold.fold(self._db, self._scratch, delta, ledger, recorded)

    @memory_limit.explained
    def match_rejects(
        self,
        recorded: Mapping[int, RecordedFiles],
        *,
        rejects: Rejects,
        target_indexes: Sequence[int],
        applies: Iterable[SentApply],
        now: float,
    ) -> MatchedRejects:
        """Match rejects to what was sent; see ``Engine.reject``."""
        from segctl.engine import match_rejects  # noqa: PLC0415 - numpy, which plans need seldom

        return match_rejects.match_rejects(
            self._db,
            self._scratch,
            recorded,
            rejects=rejects,
            target_indexes=target_indexes,
            applies=applies,
            now=now,
        )

    @memory_limit.explained
    def release_quarantined(
        self, recorded: Mapping[int, RecordedFiles], *, error_type: str | None = None
    ) -> Mapping[int, FoldedTarget]:
        """Take refused pairs out of quarantine."""
        from segctl.engine import match_rejects  # noqa: PLC0415 - as above

        return match_rejects.release_quarantined(
            self._db, self._scratch, recorded, error_type=error_type
        )

    def iter_quarantined(self, recorded: Mapping[int, RecordedFiles]) -> Iterator[QuarantinedPair]:
        """Stream the pairs in quarantine."""
        from segctl.engine import match_rejects  # noqa: PLC0415 - as above

        return match_rejects.iter_quarantined(self._db, recorded)

    @memory_limit.explained
    def write_desired(self, target_index: int) -> FoldedTarget:
        """Give the desired members of a target as a new base, after ``diff``."""
        return fold.write_desired(self._db, self._scratch, target_index)

    @memory_limit.explained
    def digest_recorded(self, recorded: RecordedFiles) -> SetDigest:
        """Digest a recorded set in full; raises ``StateDamaged``."""
        try:
            fold.view_recorded(self._db, {0: recorded})
            [[rows, high, low]] = self._db.execute(
                f"SELECT count(*), {sql.digest(sql.CANONICAL)} FROM recorded"
            ).fetchall()
        except duckdb.Error as error:
            if memory_limit.is_shortage(error):
                raise
            raise errors.member_file_unreadable() from error
        return fold.digest_of(rows, high, low)

    @memory_limit.explained
    def audit(self, recorded: RecordedFiles) -> Audit:
        """Read the files of a recorded set in full; raises ``StateDamaged``."""
        from segctl.engine import audit  # noqa: PLC0415 - one command needs it

        digest = self.digest_recorded(recorded)
        try:
            return audit.audit(self._db, recorded, digest)
        except duckdb.Error as error:
            if memory_limit.is_shortage(error):
                raise
            raise errors.member_file_unreadable() from error
