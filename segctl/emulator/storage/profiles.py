"""The profiles of an account: their keys in SQLite, who can be reached in memory.

A Python object for each profile would make memory and the time of a start grow with
their number.  So keys are looked up in the file, those of one request in one statement,
and a bounded cache keeps the ones used last.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from sqlite3 import Connection
from typing import Any

from pyroaring import BitMap

from segctl.emulator.storage.state import REACH_CHANNELS, User, reach_of

CACHED_KEYS = 1_000_000
"""The keys of each kind that an account keeps in memory: about 200 bytes each."""

GENERATED_PREFIX = "__ct"
"""Start of the object id of a profile that came without one."""

KEYS_PER_STATEMENT = 1000

Keys = tuple[str | None, str | None]
"""Identity and guid of a profile."""


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), KEYS_PER_STATEMENT):
        yield items[start : start + KEYS_PER_STATEMENT]


class KeyCache:
    """The profile numbers of the keys used last, at most ``size``.

    While the newer half fills, the older one is emptied key by key: dropping it at once
    would take long enough to be noticed.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._newer: dict[str, int] = {}
        self._older: dict[str, int] = {}
        self.has_lost_keys = False
        """Whether a key was ever dropped."""

    def get(self, key: str) -> int | None:
        """Return the number of the key, if it is in the cache."""
        number = self._newer.get(key)
        if number is None and self._older:
            number = self._older.get(key)
        return number

    def put(self, key: str, number: int) -> None:
        """Add a key."""
        self._newer[key] = number
        if self._older:
            self._older.popitem()
        if len(self._newer) >= self._size:
            self._older, self._newer = self._newer, self._older
            self.has_lost_keys = True


class Profiles:
    """The profiles of one account, numbered from 0."""

    def __init__(
        self,
        connection: Connection,
        *,
        account_number: int,
        account: str,
        survivors: Mapping[int, int] | None = None,
        cached_keys: int = CACHED_KEYS,
    ) -> None:
        self._connection = connection
        self._account = account_number
        self._survivors = {} if survivors is None else survivors
        """The profile that is left, by each profile that was merged; it is kept current."""
        self._prefix = GENERATED_PREFIX + hashlib.sha256(account.encode()).hexdigest()[:24]
        (last,) = connection.execute(
            "SELECT max(number) FROM profiles WHERE account = ?", (account_number,)
        ).fetchone()
        self._count = 0 if last is None else int(last) + 1
        self._is_cached_from_the_first = self._count == 0
        self._caches = {"identity": KeyCache(cached_keys), "guid": KeyCache(cached_keys)}
        self.reachable: dict[str, BitMap] = {channel: BitMap() for channel in REACH_CHANNELS}
        """The numbers of the profiles that can be reached, by channel."""

    def __len__(self) -> int:
        return self._count - len(self._survivors)

    @property
    def next_number(self) -> int:
        """The number of the next profile."""
        return self._count

    def numbers(self) -> BitMap:
        """Return the numbers of all profiles, without those merged into another."""
        return BitMap(range(self._count)) - BitMap(self._survivors)

    # -- from keys to numbers -------------------------------------------------

    def find(self, user: User) -> int | None:
        """Return the number of the user's profile, if it exists."""
        return self.find_many((user,)).get(user)

    def find_many(self, users: Iterable[User]) -> dict[User, int]:
        """Return the numbers of the users' profiles; users without a profile are left out."""
        found: dict[User, int] = {}
        missing: dict[str, list[str]] = {"identity": [], "guid": []}
        for user in users:
            number = self._caches[user.kind].get(user.value)
            if number is None:
                missing[user.kind].append(user.value)
            else:
                found[user] = number
        for kind, values in missing.items():
            for key, number in self._select_numbers(kind, values):
                found[User(kind, key)] = number
        for key in missing["guid"]:
            number = self._generated_number(key)
            if number is not None:
                found.setdefault(User("guid", key), number)
        if self._survivors:
            return {user: self._survivors.get(number, number) for user, number in found.items()}
        return found

    def _select_numbers(self, kind: str, keys: Sequence[str]) -> Iterator[tuple[str, int]]:
        cache = self._caches[kind]
        if not keys or (self._is_cached_from_the_first and not cache.has_lost_keys):
            return
        for batch in _batches(list(dict.fromkeys(keys))):
            # A few lengths only, so that SQLite's prepared statements are used again.
            marks = next(size for size in (1, 10, 100, KEYS_PER_STATEMENT) if size >= len(batch))
            rows = self._connection.execute(
                f"SELECT {kind}, number FROM profiles WHERE account = ? "  # noqa: S608 - one of two columns
                f"AND {kind} IN ({', '.join('?' * marks)})",
                (self._account, *batch, *[None] * (marks - len(batch))),
            ).fetchall()
            for key, number in rows:
                cache.put(key, number)
            yield from rows

    def _generated_number(self, guid: str) -> int | None:
        """Return the number in an object id that was generated for a profile of this account."""
        digits = guid.removeprefix(self._prefix)
        is_ours = guid != digits and digits.isdecimal() and digits.isascii() and len(digits) >= 8
        number = int(digits) if is_ours and len(digits) < 12 else self._count
        return number if number < self._count and guid == self._generated_id(number) else None

    # -- from numbers to keys -------------------------------------------------

    def keys_of(self, numbers: Collection[int]) -> dict[int, Keys]:
        """Return the identity and the guid of profiles, by their numbers, which must exist.

        Those of a profile that was merged are those of the one that is left.
        """
        if not self._survivors.keys().isdisjoint(numbers):
            left = {number: self._survivors.get(number, number) for number in numbers}
            keys = self._read_keys(set(left.values()))
            return {number: keys[survivor] for number, survivor in left.items()}
        return self._read_keys(numbers)

    def _read_keys(self, numbers: Collection[int]) -> dict[int, Keys]:
        found: dict[int, Keys] = {}
        for batch in _batches(list(numbers)):
            for number, identity, guid in self._connection.execute(
                "SELECT number, identity, guid FROM profiles WHERE account = ? "
                "AND number IN (SELECT value FROM json_each(?))",
                (self._account, json.dumps(batch)),
            ):
                found[number] = (identity, guid)
        return found

    def user_of(self, number: int, keys: Keys) -> User:
        """Return the identity of a profile, or its object id if it has no identity."""
        identity, guid = keys
        if identity is not None:
            return User("identity", identity)
        return User("guid", guid or self._generated_id(number))

    def user(self, number: int) -> User:
        """Return the profile's identity, or its object id if it has no identity."""
        return self.users((number,))[0]

    def users(self, numbers: Sequence[int]) -> list[User]:
        """Return the users of profiles, in the order of the numbers."""
        keys = self.keys_of(numbers)
        return [self.user_of(number, keys[number]) for number in numbers]

    def users_in_order(self, kind: str, *, size: int) -> Iterator[list[tuple[int, User]]]:
        """Yield all users of one kind with their numbers, by value, in pieces of ``size``.

        The users of kind ``guid`` are those without an identity.
        """
        after = ""
        while True:
            rows = self._connection.execute(
                f"SELECT {kind}, number, identity FROM profiles WHERE account = ? "  # noqa: S608 - one of two columns
                f"AND {kind} > ? ORDER BY {kind} LIMIT ?",
                (self._account, after, size),
            ).fetchall()
            yield [
                (number, User(kind, key))
                for key, number, identity in rows
                if kind == "identity" or identity is None
            ]
            if len(rows) < size:
                return
            after = rows[-1][0]

    def object_id(self, number: int) -> str:
        """Return the profile's CleverTap id, generated if none was given."""
        return self.object_id_of(number, self.keys_of((number,))[number])

    def object_id_of(self, number: int, keys: Keys) -> str:
        """Return the CleverTap id of a profile with these keys."""
        return keys[1] or self._generated_id(number)

    def _generated_id(self, number: int) -> str:
        return f"{self._prefix}{number:08d}"

    # -- changes, in the caller's transaction ---------------------------------

    def add(self, *, identity: str | None, guid: str | None) -> int:
        """Add a profile and return its number."""
        return self.add_many([(identity, guid)]).start

    def find_or_add(self, users: Sequence[User]) -> list[int]:
        """Return the numbers of the users' profiles; add a profile for users without one."""
        known = self.find_many(users)
        new = [user for user in dict.fromkeys(users) if user not in known]
        numbers = self.add_many(
            [(user.value, None) if user.kind == "identity" else (None, user.value) for user in new]
        )
        known.update(zip(new, numbers, strict=True))
        return [known[user] for user in users]

    def add_many(self, keys: Sequence[Keys]) -> range:
        """Add profiles with these identities and guids; return their numbers."""
        numbers = range(self._count, self._count + len(keys))
        self._connection.executemany(
            "INSERT INTO profiles (account, number, identity, guid) VALUES (?, ?, ?, ?)",
            [(self._account, number, *pair) for number, pair in zip(numbers, keys, strict=True)],
        )
        for number, pair in zip(numbers, keys, strict=True):
            self._remember(number, *pair)
        self._count = numbers.stop
        return numbers

    def _remember(self, number: int, identity: str | None, guid: str | None) -> None:
        if identity is not None:
            self._caches["identity"].put(identity, number)
        if guid is not None:
            self._caches["guid"].put(guid, number)

    def set_missing_keys(self, number: int, *, identity: str | None, guid: str | None) -> None:
        """Set the keys the profile does not have yet, unless another profile has them."""
        own = dict(zip(("identity", "guid"), self.keys_of((number,))[number], strict=True))
        for kind, value in (("identity", identity), ("guid", guid)):
            if own[kind] is None and value is not None and self.find(User(kind, value)) is None:
                self._connection.execute(
                    f"UPDATE profiles SET {kind} = ? WHERE account = ? AND number = ?",  # noqa: S608 - one of two columns
                    (value, self._account, number),
                )
                self._caches[kind].put(value, number)

    def move_keys(self, number: int, to: int) -> None:
        """Give another profile the keys that it does not have and this one has."""
        keys = self._read_keys((number, to))
        for kind, own, free in zip(("identity", "guid"), keys[number], keys[to], strict=True):
            if own is None or free is not None:
                continue
            for value, owner in ((None, number), (own, to)):
                self._connection.execute(
                    f"UPDATE profiles SET {kind} = ? WHERE account = ? AND number = ?",  # noqa: S608 - one of two columns
                    (value, self._account, owner),
                )
            self._caches[kind].put(own, to)

    def fields(self, number: int) -> dict[str, Any]:
        """Return the uploaded fields of a profile."""
        row = self._connection.execute(
            "SELECT data FROM profiles WHERE account = ? AND number = ?", (self._account, number)
        ).fetchone()
        return json.loads(row[0]) if row and row[0] else {}

    def set_fields(self, number: int, fields: dict[str, Any]) -> int:
        """Set the fields of a profile; return the channels, as bits, on which it is reached.

        The caller tells the account, which counts the reachable users of its segments.
        """
        reach = reach_of(fields)
        self._connection.execute(
            "UPDATE profiles SET data = ?, reach = ? WHERE account = ? AND number = ?",
            (json.dumps(fields), reach, self._account, number),
        )
        return reach
