"""The engine that runs inside the process: DuckDB.

Its memory is limited by a setting, and what does not fit spills to a folder.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import duckdb

from segctl.core.certificate import Certificate, CheckedPacking
from segctl.core.errors import StateDamaged
from segctl.core.holdout import Holdout
from segctl.core.identity import Kind, SetDigest
from segctl.core.normalize import Normalization
from segctl.core.outcomes import Ledger
from segctl.core.rejects import Rejects
from segctl.core.request_limits import Counting
from segctl.engine import (
    delta,
    duckdb_errors,
    fold,
    member_queries,
    member_sets,
    sending_order,
    shapes,
    sql,
)
from segctl.engine.anomalies import find_anomalies, find_inline_anomalies
from segctl.engine.compare import Load, compare
from segctl.engine.compare_plans import compare_changes
from segctl.engine.database import Database
from segctl.engine.duckdb_members import DuckMemberLister
from segctl.engine.flows import count_flows
from segctl.engine.letter_case import inspect_letter_case
from segctl.engine.load_stats import add_first_rows, stats_from_comparison
from segctl.engine.match_restrictions import count_added
from segctl.engine.model import (
    NO_ANOMALIES,
    NO_EARLIER_LIST,
    NO_PATTERNS,
    Anomalies,
    Audit,
    CheckedQuery,
    ComparedChanges,
    Diff,
    EarlierList,
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
    SavedPlanFacts,
    SavedPlanFiles,
    SentApply,
    SourceError,
    TargetMembers,
)
from segctl.engine.read import RowReader
from segctl.engine.resource_errors import (
    is_resource_error,
    translate_resource_errors,
)
from segctl.engine.saved_packing import check_saved_packing
from segctl.engine.saved_plan import prove_files
from segctl.engine.set_operations import SetOperations
from segctl.engine.write_list import write_list
from segctl.manifests.desired import Role
from segctl.plan.model import Users


class DuckEngine(DuckMemberLister):
    """The ``Engine`` of ``protocols.py`` on DuckDB.

    It works in ``database``, which others can use afterwards, or in one of its own. ``memory`` is
    the limit in bytes. DuckDB spills to a folder in ``spill``, by default in ``scratch``.
    """

    def __init__(
        self,
        scratch: Path,
        *,
        threads: int | None = None,
        memory: int | None = None,
        spill: Path | None = None,
        database: Database | None = None,
    ) -> None:
        self._scratch = scratch
        self._own_database = None
        if database is None:
            database = self._own_database = Database(
                spill or scratch, threads=threads, memory=memory
            )
        self.memory_limit = database.memory
        self.spill_folder = database.spill.parent
        self._catalog = database.open_catalog()
        self._db = self._catalog.connection
        self._numbers = count()
        self._reader = RowReader(
            self._db, scratch, database.settings, self._numbers, memory=database.memory
        )
        self._set_operations = SetOperations(self._db, next(self._numbers))
        self._loads: list[Load] = []
        self._recorded: dict[int, RecordedFiles] = {}
        self._wanted: set[int] = set()
        self._retained: dict[int, RecordedFiles] = {}
        self._asked = None

    def close(self) -> None:
        """End what runs, and drop all tables."""
        self._reader.close()
        self._catalog.close()
        if self._own_database:
            self._own_database.close()

    # QueryParser

    def parse_select(self, query: str) -> Mapping[str, Any]:
        """Parse one SELECT. Raises ``SourceError`` for anything else."""
        [[document]] = self._db.execute("SELECT json_serialize_sql($1)", [query]).fetchall()
        try:
            tree: dict[str, Any] = json.loads(document)
        except RecursionError:
            raise duckdb_errors.nested_too_deeply() from None
        if tree["error"]:
            raise duckdb_errors.not_a_select(tree, query)
        return tree

    def query_environment(self) -> Mapping[str, str]:
        """Return the version of DuckDB."""
        return {"duckdb": duckdb.__version__}

    @translate_resource_errors
    def check_columns(self, rows: FileScan | CheckedQuery) -> None:
        """Check that files have their columns, without reading rows. Raises ``SourceError``."""
        self._reader.check_columns(rows)

    # MemberComparer

    @translate_resource_errors
    def load(
        self,
        rows: Rows,
        *,
        targets: LoadTargets,
        role: Role = "include",
        normalize: Sequence[Normalization] = (),
        earlier: EarlierList = NO_EARLIER_LIST,
        patterns: Mapping[Kind, str] = NO_PATTERNS,
    ) -> int:
        """Load a source for its targets and return the number of the load."""
        number = next(self._numbers)
        select = self._reader.prepare(rows, number, patterns)
        try:
            if self._asked and not isinstance(rows, InlineRows | TargetMembers):
                select = member_sets.load_asked(self._db, number, select, self._asked, normalize)
            load = Load(
                number=number,
                source=rows,
                select=select,
                rows=self._count_rows(rows, select),
                targets=targets,
                patterns=patterns,
                anomalies=self._find_anomalies(rows, select, role),
            )
            if role == "include":
                self._loads.append(load)
            else:
                self._reader.insert_inline_rows()
                self._set_operations.add_load(load, role, tuple(normalize), earlier)
        except duckdb.Error as error:
            raise self._reader.explain_error(error, rows) from error
        return number

    def _count_rows(self, rows: Rows, select: str) -> int:
        if isinstance(rows, InlineRows):
            return len(rows.values)
        [[number]] = self._db.execute(f"SELECT count(*) FROM ({select})").fetchall()
        return int(number)

    def _find_anomalies(self, rows: Rows, select: str, role: Role) -> Anomalies:
        """Look for what is wrong in a list of members; lists that take away send nothing.

        ``diff`` counts the values of a file that differ in case.
        """
        if role != "include" or isinstance(rows, TargetMembers) or self._asked:
            return NO_ANOMALIES
        if isinstance(rows, InlineRows):
            return find_inline_anomalies(rows)
        scan = self._reader.readable(rows) if isinstance(rows, FileScan) else None
        return find_anomalies(self._db, scan, select, has_upper_case=False)

    def hold_out(self, target_index: int, holdout: Holdout) -> None:
        """Leave a share of the users out of a target."""
        self._set_operations.hold_out(target_index, holdout)

    def retain_members(self, target_index: int) -> None:
        """Keep the desired members of a target for questions."""
        self._set_operations.retain_members(target_index)

    def retain_recorded(self, target_index: int, recorded: RecordedFiles) -> None:
        """Keep the recorded members of a target without loads for questions."""
        self._retained[target_index] = recorded

    def set_recorded(self, target_index: int, recorded: RecordedFiles, *, wanted: bool) -> None:
        """Set the recorded members of a target. A target that is not ``wanted`` is emptied."""
        self._recorded[target_index] = recorded
        if wanted:
            self._wanted.add(target_index)

    @translate_resource_errors
    def diff(self, *, retry_before: float | None = None) -> Diff:
        """Compare everything loaded with everything recorded; see ``MemberComparer.diff``."""
        operations = self._set_operations
        try:
            self._reader.insert_inline_rows()
            if self._retained:
                fold.copy_recorded(self._db, self._retained, "retained_members")
            fold.view_recorded(self._db, self._recorded)
            fold.check_counts(self._db, self._recorded)
            loads = operations.materialize(self._loads, self._wanted)
            compare(self._db, loads, self._wanted, self._recorded, filters=operations.filters)
            anomalies = inspect_letter_case(
                self._db,
                self._loads,
                self._wanted,
                self._recorded,
                is_unfiltered=not operations.filters and loads == self._loads,
            )
            operations.match_restrictions(self._loads, self._wanted)
            excluded_counts = operations.count_excluded(loads, self._wanted)
            if self._retained:
                member_queries.add_members(self._db, "retained_members")
        except duckdb.Error as error:
            raise self._find_cause(error) from error
        delta.create_delta(self._db, retry_before=retry_before)
        stats = self._load_stats(loads)
        self._db.execute("DROP TABLE unmatched")
        return Diff(
            targets=delta.count_changes(self._db, self._recorded, excluded_counts),
            loads={
                load.number: replace(
                    add_first_rows(
                        self._db, load, stats[load.number], self._reader.select_in_order
                    ),
                    anomalies=anomalies.get(load.number, load.anomalies),
                )
                for load in [*self._loads, *operations.loads]
            },
        )

    def _load_stats(self, loads: Sequence[Load]) -> dict[int, LoadStats]:
        """Return the stats of all loads. ``loads`` are those that took part in the comparison."""
        counted = self._set_operations.stats
        return counted | stats_from_comparison(
            self._db,
            loads,
            self._wanted,
            self._recorded,
            filtered=bool(self._set_operations.filters),
            taken_away=self._set_operations.taken_away,
            counted={*counted, self._set_operations.number},
        )

    def _find_cause(self, error: duckdb.Error) -> SourceError | StateDamaged | duckdb.Error:
        """Return the error of the input that made a comparison fail; reads each one again."""
        if is_resource_error(error):
            return error
        for load in [*self._loads, *self._set_operations.loads]:
            try:
                self._db.execute(sql.READ_ALL_ROWS.format(rows=load.select)).fetchall()
            except duckdb.Error as of_load:
                explained = self._reader.explain_error(of_load, load.source)
                explained.load_number = load.number
                return explained
        try:
            self._db.execute(sql.READ_ALL_ROWS.format(rows="FROM recorded")).fetchall()
        except duckdb.Error:
            return duckdb_errors.unreadable_member_file()
        return error

    @translate_resource_errors
    def count_members(self) -> Mapping[int, int]:
        """Count the desired members of the retained targets."""
        counts = member_queries.count_members(self._db)
        return {target_index: found.members for target_index, found in counts.items()}

    @translate_resource_errors
    def find_shared(
        self, sides: Collection[tuple[Sequence[int], Sequence[int]]]
    ) -> Mapping[tuple[int, int], Users]:
        """Return the users that two retained targets share, by pair, most first."""
        return member_queries.find_shared(self._db, sides)

    @translate_resource_errors
    def find_outside(self, pairs: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], Users]:
        """Return the members of a retained target that another one does not have, by pair."""
        return member_queries.find_outside(self._db, pairs)

    @translate_resource_errors
    def count_added(self, targets: Sequence[int] | None, hashes: Sequence[str]) -> int:
        """Count the users with one of these hashes who are added."""
        return count_added(self._db, targets, hashes)

    @translate_resource_errors
    def count_shapes(
        self, targets: Collection[int], *, recorded: bool
    ) -> Mapping[int, Mapping[str, int]]:
        """Count the shapes of the recorded members of targets, or of those to be added."""
        if recorded:
            return shapes.count_shapes(self._db, "recorded", targets)
        return shapes.count_shapes(self._db, "delta", targets, where=shapes.ADDED)

    @translate_resource_errors
    def write_list(self, files: FileScan) -> tuple[LoadStats, FoldedTarget | None]:
        """Write the members in files as a base file; see ``MemberComparer.write_list``."""
        return write_list(self._db, self._scratch, self._reader, files, number=next(self._numbers))

    @translate_resource_errors
    def write_desired(self, target_index: int) -> FoldedTarget:
        """Write the desired members of a target as a base file."""
        return fold.write_desired(self._db, self._scratch, target_index)

    # RequestPacker

    @translate_resource_errors
    def load_saved_delta(self, saved: Path, recorded: Mapping[int, RecordedFiles]) -> int:
        """Load a saved delta instead of comparing, and return the number of changes left."""
        self._recorded = dict(recorded)
        fold.view_recorded(self._db, recorded)
        fold.check_counts(self._db, recorded)
        return delta.load_saved_delta(self._db, saved)

    @translate_resource_errors
    def digest_delta(self, keys: Sequence[str]) -> SetDigest:
        """Digest the delta. The order of its rows does not matter."""
        return delta.digest_delta(self._db, keys)

    @translate_resource_errors
    def digest_added(self, targets: Collection[int]) -> Mapping[int, SetDigest]:
        """Digest the users who are added to each target."""
        return delta.digest_added(self._db, targets)

    @translate_resource_errors
    def count_flows(self, segments: Sequence[int]) -> Mapping[tuple[int, int], int] | None:
        """Count who leaves one segment and joins another; see ``RequestPacker.count_flows``."""
        return count_flows(self._db, segments)

    @translate_resource_errors
    def pack(
        self, keys: Sequence[str], *, counting: Counting, settle_seconds: float
    ) -> PackingSummary:
        """Pack the delta. Changes that wait for a settle time are in the last requests."""
        return sending_order.pack(self._db, keys, counting, settle_seconds=settle_seconds)

    @translate_resource_errors
    def save(self, delta_file: Path) -> None:
        """Write the packed delta as Parquet, in sending order."""
        sending_order.save(self._db, delta_file)

    def iter_entries(self, delta_file: Path) -> Iterator[PackedEntry]:
        """Yield the entries of a saved delta in sending order."""
        return sending_order.iter_entries(self._db, delta_file)

    # PlanProver

    @translate_resource_errors
    def prove_saved_plan(self, files: SavedPlanFiles) -> SavedPlanFacts:
        """Return what the files of a saved plan contain. Raises ``SavedPlanError``."""
        return prove_files(self._db, files)

    @translate_resource_errors
    def check_packing(
        self, files: SavedPlanFiles, certificates: Sequence[Certificate]
    ) -> CheckedPacking:
        """Return what a saved plan's changes prove of its requests. Raises ``SavedPlanError``."""
        return check_saved_packing(self._db, files, certificates)

    @translate_resource_errors
    def starts_from(self, saved: Path, recorded: Mapping[int, RecordedFiles]) -> bool:
        """Return whether a saved delta was made from these members. Raises ``StateDamaged``."""
        try:
            fold.view_recorded(self._db, recorded)
            fold.check_counts(self._db, recorded)
            return delta.starts_from_state(self._db, saved)
        except duckdb.Error as error:
            if is_resource_error(error):
                raise
            raise duckdb_errors.unreadable_member_file() from error

    @translate_resource_errors
    def compare_changes(
        self, approved: tuple[Path, Sequence[str]], sent: tuple[Path, Sequence[str]] | None
    ) -> ComparedChanges:
        """Count the changes of two saved deltas by the key of the segment and the action."""
        return compare_changes(self._db, approved, sent)

    # OutcomeFolder

    @translate_resource_errors
    def fold(
        self, delta_file: Path, ledger: Ledger, recorded: Mapping[int, RecordedFiles]
    ) -> Mapping[int, FoldedTarget]:
        """Return each recorded target after the outcomes of an apply."""
        return fold.fold(self._db, self._scratch, delta_file, ledger, recorded)

    @translate_resource_errors
    def count_sent_events(self) -> Mapping[int, int]:
        """Count the folded changes that may be billed, by the quarter of an hour."""
        return fold.count_sent_events(self._db)

    @translate_resource_errors
    def count_changed_shapes(self, targets: Collection[int]) -> Mapping[int, Mapping[str, int]]:
        """Count how many more members of each shape a fold gave each target."""
        return shapes.count_changed_shapes(self._db, targets)

    # RejectMatcher

    @translate_resource_errors
    def match_rejects(
        self,
        recorded: Mapping[int, RecordedFiles],
        *,
        rejects: Rejects,
        target_indexes: Sequence[int],
        applies: Iterable[SentApply],
        now: float,
    ) -> MatchedRejects:
        """Match rejects to the last request for each pair and quarantine the pairs."""
        from segctl.engine import match_rejects  # noqa: PLC0415 - numpy; plans rarely need it

        return match_rejects.match_rejects(
            self._db,
            self._scratch,
            recorded,
            rejects=rejects,
            target_indexes=target_indexes,
            applies=applies,
            now=now,
        )

    @translate_resource_errors
    def release_quarantined(
        self, recorded: Mapping[int, RecordedFiles], *, error_type: str | None = None
    ) -> Mapping[int, FoldedTarget]:
        """Release refused pairs from quarantine and return the targets that change."""
        from segctl.engine import match_rejects  # noqa: PLC0415 - as above

        return match_rejects.release_quarantined(
            self._db, self._scratch, recorded, error_type=error_type
        )

    def iter_quarantined(self, recorded: Mapping[int, RecordedFiles]) -> Iterator[QuarantinedPair]:
        """Yield the pairs in quarantine, ordered by target."""
        from segctl.engine import match_rejects  # noqa: PLC0415 - as above

        return match_rejects.iter_quarantined(self._db, recorded)

    # StateAuditor

    @translate_resource_errors
    def digest_recorded(self, recorded: RecordedFiles) -> SetDigest:
        """Compute the digest of a recorded set from its files. Raises ``StateDamaged``."""
        try:
            fold.view_recorded(self._db, {0: recorded})
            [sums] = self._db.execute(
                f"SELECT count(*), {sql.digest_sums(sql.ENCODED_MEMBER)} FROM recorded"
            ).fetchall()
        except duckdb.Error as error:
            if is_resource_error(error):
                raise
            raise duckdb_errors.unreadable_member_file() from error
        return sql.digest_from_sums(*sums)

    @translate_resource_errors
    def audit(self, recorded: RecordedFiles) -> Audit:
        """Read all files of a recorded set. Raises ``StateDamaged``."""
        from segctl.engine import audit  # noqa: PLC0415 - only `state fsck` needs it

        digest = self.digest_recorded(recorded)
        try:
            return audit.audit(self._db, recorded, digest)
        except duckdb.Error as error:
            if is_resource_error(error):
                raise
            raise duckdb_errors.unreadable_member_file() from error
