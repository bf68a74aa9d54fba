"""What an engine does, one protocol per use; ``Engine`` is all of them.

An engine serves one plan or one apply and writes its files to a scratch folder of the caller.
Callers take the narrowest protocol that they use.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from segctl.core.certificate import Certificate, CheckedPacking
from segctl.core.holdout import Holdout
from segctl.core.identity import Kind, SetDigest
from segctl.core.normalize import Normalization
from segctl.core.outcomes import Ledger
from segctl.core.rejects import Rejects
from segctl.core.request_limits import Counting
from segctl.engine.model import (
    NO_EARLIER_LIST,
    NO_PATTERNS,
    AskedUsers,
    Audit,
    CheckedQuery,
    ComparedChanges,
    Diff,
    EarlierList,
    FileScan,
    FoldedTarget,
    FoundUser,
    LoadStats,
    LoadTargets,
    MatchedRejects,
    MemberList,
    PackedEntry,
    PackingSummary,
    QuarantinedPair,
    RecordedFiles,
    Rows,
    SavedPlanFacts,
    SavedPlanFiles,
    SentApply,
)
from segctl.manifests.desired import Role
from segctl.plan.model import Users


class QueryParser(Protocol):
    """Parses the queries of manifests."""

    def parse_select(self, query: str) -> Mapping[str, Any]:
        """Parse one SELECT into DuckDB's serialized syntax tree. Raises ``SourceError``."""

    def query_environment(self) -> Mapping[str, str]:
        """Return what a query's result can depend on besides its files and its time zone."""

    def check_columns(self, rows: FileScan | CheckedQuery) -> None:
        """Check that files have their columns and are lists, without reading rows.

        Of a query, check that it can run and has the columns of members. Raises ``SourceError``.
        """


class MemberComparer(Protocol):
    """Compares the members that sources declare with the recorded ones.

    Call ``load``, ``hold_out``, ``retain_members`` and ``set_recorded`` first, then ``diff``,
    then the questions.
    """

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
        """Load a source for its targets and return the number of the load.

        Targets need no recorded members: they may exist only for others to read. With the role
        ``suppress`` the users are removed from all targets. Rows that take members away are
        compared with them in the forms ``normalize``. ``earlier`` is what the last apply
        knew of them. Values that do not match the pattern of their kind are
        invalid. Raises ``SourceError``.
        """

    def hold_out(self, target_index: int, holdout: Holdout) -> None:
        """Leave a share of the users out of a target."""

    def retain_members(self, target_index: int) -> None:
        """Keep the desired members of a target after ``diff``, for the questions."""

    def retain_recorded(self, target_index: int, recorded: RecordedFiles) -> None:
        """Keep the recorded members of a target without loads for the questions."""

    def set_recorded(self, target_index: int, recorded: RecordedFiles, *, wanted: bool) -> None:
        """Set the recorded members of a target. A target that is not ``wanted`` is emptied."""

    def diff(self, *, retry_before: float | None = None) -> Diff:
        """Compare everything loaded with everything recorded.

        Invalid rows are counted and left out. Pairs refused before ``retry_before`` (seconds
        since 1970) are sent again. Raises ``SourceError`` for a source and ``StateDamaged`` for a
        member file that cannot be read.
        """

    def count_members(self) -> Mapping[int, int]:
        """Count the desired members of the retained targets. Others may be among them."""

    def count_added(self, targets: Sequence[int] | None, hashes: Sequence[str]) -> int:
        """Count the users who are added to targets, to all if ``None``, and are in a list.

        ``hashes`` are those of the list's values, see ``LoadStats.listed``.
        """

    def find_shared(
        self, sides: Collection[tuple[Sequence[int], Sequence[int]]]
    ) -> Mapping[tuple[int, int], Users]:
        """Return the users that two retained targets share, by pair, most first.

        The lower target index of a pair is first. Each of ``sides`` asks for the
        pairs of a target on its left side with another one on its right side.
        """

    def find_outside(self, pairs: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], Users]:
        """Return the members of a retained target that another one does not have, by pair."""

    def count_shapes(
        self, targets: Collection[int], *, recorded: bool
    ) -> Mapping[int, Mapping[str, int]]:
        """Count the shapes of the ``recorded`` members of targets, or else of those to be added.

        Call it after ``diff``. See ``shapes.py`` for what a shape is.
        """

    def write_list(self, files: FileScan) -> tuple[LoadStats, FoldedTarget | None]:
        """Write the members in files as a base file, as if all were acknowledged.

        ``None`` instead if the stats have invalid rows. Nothing is compared and no other call is
        needed. Raises ``SourceError``, and ``StateDamaged`` if the files change meanwhile.
        """

    def write_desired(self, target_index: int) -> FoldedTarget:
        """Write the desired members of a target as a base file, as if all were acknowledged.

        Call it after ``diff``, for a target without recorded members.
        """


class RequestPacker(Protocol):
    """Packs a delta into requests, and saves and reads them."""

    def load_saved_delta(self, saved: Path, recorded: Mapping[int, RecordedFiles]) -> int:
        """Load a saved delta instead of comparing, and return the number of changes left.

        Changes that the recorded members already contain are left out.
        """

    def digest_delta(self, keys: Sequence[str]) -> SetDigest:
        """Digest the delta. ``keys`` are the ids of the targets in requests, by target index."""

    def digest_added(self, targets: Collection[int]) -> Mapping[int, SetDigest]:
        """Digest the users who are added to each target; one without any is left out.

        Of a target without recorded members, it is the digest of its desired members.
        """

    def count_flows(self, segments: Sequence[int]) -> Mapping[tuple[int, int], int] | None:
        """Return how many users of the delta leave one segment and join another.

        ``segments`` holds the segment number of each target, or ``LEFT_OUT``; a replaced segment
        has two targets. Users are counted by the numbers of the segment that they leave and the one
        that they join. Changes that repeat an unanswered request do not count.
        Returns ``None`` if there are too many pairs to count.
        """

    def pack(
        self, keys: Sequence[str], *, counting: Counting, settle_seconds: float
    ) -> PackingSummary:
        """Pack the delta into requests. The result depends on the delta's content alone."""

    def save(self, delta_file: Path) -> None:
        """Write the packed delta as Parquet, in sending order.

        Each change has its ``request`` and its ``entry``, numbered from 0. Neither decreases from
        row to row. Pairs that only leave quarantine are last, with -1.
        """

    def iter_entries(self, delta_file: Path) -> Iterator[PackedEntry]:
        """Yield the entries of a saved delta in sending order."""


class PlanProver(Protocol):
    """Proves the files of a saved plan, and compares them with those of another plan."""

    def prove_saved_plan(self, files: SavedPlanFiles) -> SavedPlanFacts:
        """Return what the files contain; raises ``SavedPlanError``.

        Its entries are then products of users and actions, in sending order.
        """

    def check_packing(
        self, files: SavedPlanFiles, certificates: Sequence[Certificate]
    ) -> CheckedPacking:
        """Return what the changes of a proved saved plan prove of its requests.

        Raises ``SavedPlanError`` if there are too few or too many certificates, or one does not
        fit the way of counting.
        """

    def starts_from(self, saved: Path, recorded: Mapping[int, RecordedFiles]) -> bool:
        """Return whether a proved delta was made from these recorded members and pairs.

        ``recorded`` has all targets with changes. The flags of the delta decide what the state
        records of a change that was sent.
        """

    def compare_changes(
        self, approved: tuple[Path, Sequence[str]], sent: tuple[Path, Sequence[str]] | None
    ) -> ComparedChanges:
        """Count the changes of two saved deltas by the key of the segment and the action.

        Each is the file of a delta, and the keys of its targets; ``None`` is an empty one. The
        actions are ADD and REMOVE.
        """


class OutcomeFolder(Protocol):
    """Folds the outcomes of an apply into the recorded members."""

    def fold(
        self, delta_file: Path, ledger: Ledger, recorded: Mapping[int, RecordedFiles]
    ) -> Mapping[int, FoldedTarget]:
        """Return each recorded target after the outcomes of an apply."""

    def count_sent_events(self) -> Mapping[int, int]:
        """Count the folded changes that may be billed, by the quarter of an hour since 1970.

        Those without an answer count. Call it after ``fold``.
        """

    def count_changed_shapes(self, targets: Collection[int]) -> Mapping[int, Mapping[str, int]]:
        """Count how many more members of each shape a fold gave each target; it can be fewer.

        Call it after ``fold``.
        """


class RejectMatcher(Protocol):
    """Puts pairs into quarantine, lists them and releases them."""

    def match_rejects(
        self,
        recorded: Mapping[int, RecordedFiles],
        *,
        rejects: Rejects,
        target_indexes: Sequence[int],
        applies: Iterable[SentApply],
        now: float,
    ) -> MatchedRejects:
        """Match rejects to the last request for each pair and quarantine the pairs.

        ``target_indexes`` holds for each of ``rejects.details`` the recorded target that it
        names, -1 for none. ``applies`` are the archived ones, newest first. A refused ADD takes
        the user out of the set; a refused REMOVE puts the user back.
        """

    def release_quarantined(
        self, recorded: Mapping[int, RecordedFiles], *, error_type: str | None = None
    ) -> Mapping[int, FoldedTarget]:
        """Release refused pairs from quarantine and return the targets that change.

        All of them, or those that were refused with ``error_type``.
        """

    def iter_quarantined(self, recorded: Mapping[int, RecordedFiles]) -> Iterator[QuarantinedPair]:
        """Yield the pairs in quarantine, ordered by target."""


class MemberLister(Protocol):
    """Answers questions about whole sets: the desired members of targets, the recorded of others.

    Call ``load``, ``hold_out`` and ``set_recorded`` first, then ``open_sets``, then the questions.
    A target with recorded members has no loads.
    """

    def ask_for(self, asked: AskedUsers) -> None:
        """Read only the rows of some users, and what they are compared with.

        Call it before ``load``.
        """

    def open_sets(self, desired: Sequence[int]) -> Mapping[int, LoadStats]:
        """Compute the members of the ``desired`` targets. Return the counts of rows by load.

        Raises ``SourceError`` for a source and ``StateDamaged`` for a member file.
        """

    def count_sets(self, target_indexes: Sequence[int]) -> Mapping[int, int]:
        """Return the number of members of each of these targets."""

    def count_shared(
        self, lefts: Collection[int], rights: Collection[int]
    ) -> Mapping[tuple[int, int], int]:
        """Return how many users a left and a right target share, by pair, if they share any.

        If both sides are the same, the lower target index of a pair is first.
        """

    def count_shared_in_pairs(
        self, pairs: Sequence[tuple[int, int]]
    ) -> Mapping[tuple[int, int], int]:
        """Return how many users the two targets of each pair share. A target is in one pair."""

    def has_guids(self, target_index: int) -> bool:
        """Return whether a target has a member that is a guid."""

    def iter_lines(self, target_index: int, wanted: MemberList) -> Iterator[bytes]:
        """Yield the members of a target in order, as UTF-8 text in pieces of any length."""

    def find_asked(self) -> tuple[FoundUser, ...]:
        """Return where the users of ``ask_for`` are, by target."""

    def find_asked_in_loads(self) -> Mapping[int, tuple[str | None, ...]]:
        """Return the loads that have a user, by number, with the segment values of the rows."""


class StateAuditor(Protocol):
    """Checks recorded members against their files."""

    def digest_recorded(self, recorded: RecordedFiles) -> SetDigest:
        """Compute the digest of a recorded set from its files. Raises ``StateDamaged``."""

    def audit(self, recorded: RecordedFiles) -> Audit:
        """Read all files of a recorded set. Raises ``StateDamaged``.

        It loads all rows of the change files into a table.
        """


class Engine(
    QueryParser,
    MemberComparer,
    RequestPacker,
    PlanProver,
    OutcomeFolder,
    RejectMatcher,
    MemberLister,
    StateAuditor,
    Protocol,
):
    """Everything an engine does."""

    def close(self) -> None:
        """Close the database. The engine cannot be used afterwards."""
