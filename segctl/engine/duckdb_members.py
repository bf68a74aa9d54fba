"""The ``MemberLister`` of ``protocols.py`` on DuckDB, as a part of ``DuckEngine``."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from segctl.core.errors import StateDamaged
from segctl.engine import duckdb_errors, fold, member_sets
from segctl.engine.compare import Load
from segctl.engine.load_stats import add_first_rows
from segctl.engine.model import (
    AskedUsers,
    FoundUser,
    LoadStats,
    MemberList,
    RecordedFiles,
    SourceError,
)
from segctl.engine.read import RowReader
from segctl.engine.resource_errors import to_operation_error, translate_resource_errors
from segctl.engine.set_operations import SetOperations


class DuckMemberLister:
    """Answers questions about whole sets. The fields are those of ``DuckEngine``."""

    memory_limit: int | None
    spill_folder: Path
    _db: duckdb.DuckDBPyConnection
    _reader: RowReader
    _set_operations: SetOperations
    _loads: list[Load]
    _recorded: dict[int, RecordedFiles]
    _asked: AskedUsers | None

    def _find_cause(self, error: duckdb.Error) -> SourceError | StateDamaged | duckdb.Error:
        raise NotImplementedError

    def ask_for(self, asked: AskedUsers) -> None:
        """Read only the rows of some users."""
        member_sets.ask_for(self._db, asked)
        self._asked = asked

    @translate_resource_errors
    def open_sets(self, desired: Sequence[int]) -> Mapping[int, LoadStats]:
        """Compute the members of the ``desired`` targets; see ``MemberLister.open_sets``."""
        operations = self._set_operations
        for target_index in desired:
            operations.retain_members(target_index)
        try:
            self._reader.insert_inline_rows()
            fold.view_recorded(self._db, self._recorded)
            fold.check_counts(self._db, self._recorded)
            operations.materialize(self._loads, set(desired))
            member_sets.view_sets(self._db)
        except duckdb.Error as error:
            raise self._find_cause(error) from error
        return {
            load.number: add_first_rows(
                self._db, load, operations.stats[load.number], self._reader.select_in_order
            )
            for load in [*self._loads, *operations.loads]
        }

    @translate_resource_errors
    def count_sets(self, target_indexes: Sequence[int]) -> Mapping[int, int]:
        """Return the number of members of each of these targets."""
        return member_sets.count_sets(self._db, target_indexes)

    @translate_resource_errors
    def count_shared(
        self, lefts: Collection[int], rights: Collection[int]
    ) -> Mapping[tuple[int, int], int]:
        """Return how many users a left and a right target share, by pair, if they share any."""
        return member_sets.count_shared(self._db, lefts, rights)

    @translate_resource_errors
    def count_shared_in_pairs(
        self, pairs: Sequence[tuple[int, int]]
    ) -> Mapping[tuple[int, int], int]:
        """Return how many users the two targets of each pair share."""
        return member_sets.count_shared_in_pairs(self._db, pairs)

    @translate_resource_errors
    def has_guids(self, target_index: int) -> bool:
        """Return whether a target has a member that is a guid."""
        return member_sets.has_guids(self._db, target_index)

    def iter_lines(self, target_index: int, wanted: MemberList) -> Iterator[bytes]:
        """Yield the members of a target in order, as UTF-8 text in pieces of any length."""
        try:
            yield from member_sets.iter_lines(self._db, target_index, wanted, self._recorded)
        except duckdb.Error as error:
            translated = to_operation_error(
                error, memory_limit=self.memory_limit, spill_folder=self.spill_folder
            )
            raise translated or duckdb_errors.unreadable_member_file() from error

    @translate_resource_errors
    def find_asked(self) -> tuple[FoundUser, ...]:
        """Return where the users of ``ask_for`` are, by target."""
        return member_sets.find_asked(self._db, self._asked or AskedUsers())

    @translate_resource_errors
    def find_asked_in_loads(self) -> Mapping[int, tuple[str | None, ...]]:
        """Return the loads that have a user, by number, with the segment values of the rows."""
        operations = self._set_operations
        return member_sets.find_asked_in_loads(
            self._db,
            self._asked or AskedUsers(),
            [
                *((load, ()) for load in self._loads),
                *((load, operations.forms_of(load)) for load in operations.loads),
            ],
        )
