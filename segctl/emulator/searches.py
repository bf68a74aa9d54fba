"""Searches that take longer than one call: each call advances one by a bounded amount of work.

A search is a generator.  It yields the amount of work done since the last time, counted
in events, and returns its result.  There is no background task: a search goes on only
when a client asks again, so the same requests always get the same answers.

The table of searches is bounded and in memory.  A cursor contains all that is needed to
begin its search again, so a search that was dropped costs time and nothing else; a
request id is answered with an error then.
"""

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from segctl.emulator.settings import Settings
from segctl.emulator.storage.state import Account

MAX_SEARCHES = 100

Result = TypeVar("Result")
Work = Generator[int, None, Result]
"""Yields how much was done, in events; returns the result."""


@dataclass(kw_only=True, eq=False)
class Search:
    """A search and how far it is. ``result`` is None until it is done."""

    account: Account
    work: Work[Any]
    started_at: float
    is_done: bool = False
    has_failed: bool = False
    result: Any = None
    calls: int = 0
    """How many calls have asked for it."""

    def go_on(self, settings: Settings) -> bool:
        """Do the work of one call; return whether the search is done.

        By the switch ``search_answer``, even a quick search does nothing at the first call.
        """
        self.calls += 1
        amount = settings.search_events
        if self.calls == 1 and settings.search_answer == "in_progress":
            return False
        while amount > 0 and not self.is_done:
            try:
                amount -= next(self.work)
            except StopIteration as end:
                self.is_done, self.result = True, end.value
            except BaseException:
                self.has_failed = True
                raise
        return self.is_done


class SearchTable:
    """The searches that clients may ask for again, by account, the one used last at the end.

    No account can go on with, drop or crowd out a search of another.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._searches: dict[str, dict[Hashable, Search]] = {}
        self._last_id = 0

    def open(self, key: Hashable, account: Account, begin: Callable[[], Work[Any]]) -> Search:
        """Return the search with this key, or begin it."""
        search = self.find(key, account)
        if search is None:
            search = Search(account=account, work=begin(), started_at=self._clock())
            searches = self._searches.setdefault(account.id, {})
            searches[key] = search
            while len(searches) > MAX_SEARCHES:
                del searches[next(iter(searches))]
        return search

    def find(self, key: Hashable, account: Account) -> Search | None:
        """Return the account's search with this key, if it is still in the table."""
        searches = self._searches.get(account.id, {})
        search = searches.pop(key, None)
        if search is None or search.has_failed or search.account is not account:
            # After a reset, or a failed write, the account is another object.
            return None
        searches[key] = search
        return search

    def close(self, key: Hashable, account: Account) -> None:
        """Forget a search whose result nobody asks for again."""
        self._searches.get(account.id, {}).pop(key, None)

    def new_id(self) -> int:
        """Return a request id: a long integer, as the vendor's sample has it, never used twice."""
        self._last_id = max(self._last_id + 1, int(self._clock() * 1_000_000))
        return self._last_id
