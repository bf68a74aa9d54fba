"""A workspace as a value: random edits, its manifests and sources as files, its members as sets.

The sets are computed here, in plain Python, from nothing but what the manifests say.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import duckdb
import yaml

from tests.e2e.outside_service import User

USERS = [("identity", f"u{n:03}@example.com") for n in range(220)] + [
    ("guid", f"__g{n:03}") for n in range(40)
]
FORMS = ("inline", "csv", "tsv", "jsonl", "txt", "csv.gz", "parquet", "query")


@dataclass
class Source:
    """Users of one kind in one form; ``number`` names its file."""

    number: int
    form: str
    kind: str
    users: set[User]

    @property
    def values(self) -> list[str]:
        """Return the values as written, in order."""
        return sorted(value for _, value in self.users)

    def manifest(self) -> dict[str, object]:
        """Return the source as YAML of a manifest."""
        if self.form == "inline":
            return {"identities" if self.kind == "identity" else "guids": self.values}
        file = f"data/{self.number}.{self.form}"
        if self.form == "query":
            file = f"data/{self.number}.csv"
            return {"query": {"sql": f"select who as {self.kind} from '{file}' where keep = $keep"}}
        column = {} if self.form == "txt" else {"column": "who"}
        return {"file": {"path": file, "kind": self.kind, **column}}

    def write(self, root: Path) -> None:
        """Write the file that the source reads, if any."""
        path = root / "data" / f"{self.number}.{self.form}"
        path.parent.mkdir(exist_ok=True)
        text = "".join(f"{value}\n" for value in self.values)
        match self.form:
            case "csv" | "tsv":
                path.write_text(f"who\n{text}")
            case "csv.gz":
                path.write_bytes(gzip.compress(f"who\n{text}".encode()))
            case "txt":
                path.write_text(text)
            case "jsonl":
                path.write_text("".join(json.dumps({"who": v}) + "\n" for v in self.values))
            case "query":
                rows = "".join(f"{value},yes\n" for value in self.values)
                path.with_suffix(".csv").write_text(f"who,keep\n{rows}nobody@example.com,no\n")
            case "parquet":
                with duckdb.connect() as db:
                    db.execute(
                        "CREATE TABLE t AS SELECT unnest($1::VARCHAR[]) AS who", [self.values]
                    )
                    db.execute(f"COPY t TO '{path}'")


@dataclass
class Segment:
    """A declared segment; in a table its members are the rows of ``sources``."""

    name: str
    key: str
    display: str
    sources: list[Source] = field(default_factory=list)
    exclude: list[Source] = field(default_factory=list)
    managed: bool = True
    forget: bool = False
    tabled: bool = False


@dataclass
class Membership:
    """Users that several segments share."""

    segments: list[str]
    sources: list[Source]


@dataclass
class Workspace:
    """Everything declared, and the keys that may return. Changes at random."""

    random: Random
    segments: list[Segment] = field(default_factory=list)
    memberships: list[Membership] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    forgettable: set[str] = field(default_factory=set)
    numbers: int = 0

    def members(self) -> dict[str, set[User]]:
        """Return the desired members of each declared segment, by key."""
        return {s.key: self._members(s) for s in self.segments if s.managed}

    def _members(self, segment: Segment) -> set[User]:
        users = {user for source in segment.sources for user in source.users}
        for shared in self.memberships:
            if segment.name in shared.segments:
                users |= {user for source in shared.sources for user in source.users}
        return users - {user for source in segment.exclude for user in source.users}

    # Edits

    def edit(self, *, names_too: bool) -> None:
        """Change something; display names only if ``names_too``."""
        edits = [self._add, self._alter, self._alter, self._alter, self._remove, self._replace]
        edits += [self._trade, self._move, self._manage, self._share, self._exclude, self._forget]
        if names_too:
            edits.append(self._rename)
        self.random.choice(edits)()

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers

    def _key(self) -> str:
        """Return a new key, or that of a segment destroyed earlier."""
        if self.gone and self.random.random() < 0.5:
            return self.gone.pop(self.random.randrange(len(self.gone)))
        return f"KEY-{self._number()}"

    def _source(self, *, kind: str = "", form: str = "") -> Source:
        kind = kind or self.random.choice(("identity", "identity", "identity", "guid"))
        users = [user for user in USERS if user[0] == kind]
        picked = self.random.sample(users, self.random.randrange(1, len(users)))
        return Source(self._number(), form or self.random.choice(FORMS), kind, set(picked))

    def _add(self) -> None:
        if len(self.segments) < 9:
            key = self._key()
            new = Segment(f"s{self._number()}", key, self.names.setdefault(key, f"Name of {key}"))
            new.tabled = self.random.random() < 0.2
            if self.random.random() < 0.9:
                new.sources = [self._source(kind="identity" if new.tabled else "")]
            self.segments.append(new)

    def _pick(self) -> Segment | None:
        return self.random.choice(self.segments) if self.segments else None

    def _alter(self) -> None:
        sources = [s for segment in self.segments for s in segment.sources]
        sources += [s for shared in self.memberships for s in shared.sources]
        if not sources:
            self._add()
            return
        source = self.random.choice(sources)
        universe = [user for user in USERS if user[0] == source.kind]
        toggled = set(self.random.sample(universe, self.random.randrange(1, 30)))
        source.users = (source.users ^ toggled) or toggled

    def _remove(self) -> None:
        if segment := self._pick():
            self.segments.remove(segment)
            self._let_go(segment.key)
            for shared in self.memberships:
                shared.segments = [name for name in shared.segments if name != segment.name]
            self.memberships = [shared for shared in self.memberships if shared.segments]

    def _let_go(self, key: str) -> None:
        """Allow a key to return, unless its segment may be recorded with ``onRemove: forget``."""
        if key not in self.forgettable:
            self.gone.append(key)

    def _replace(self) -> None:
        if segment := self._pick():
            old, segment.key = segment.key, self._key()
            segment.display = self.names.setdefault(segment.key, f"Name of {segment.key}")
            self._let_go(old)

    def _trade(self) -> None:
        if len(self.segments) > 1:
            one, two = self.random.sample(self.segments, 2)
            one.key, two.key = two.key, one.key
            one.display, two.display = two.display, one.display
            one.forget, two.forget = two.forget, one.forget

    def _move(self) -> None:
        if segment := self._pick():
            name = f"s{self._number()}"
            for shared in self.memberships:
                shared.segments = [name if n == segment.name else n for n in shared.segments]
            segment.name = name

    def _manage(self) -> None:
        named = {name for shared in self.memberships for name in shared.segments}
        segment = self._pick()
        if segment and not segment.tabled and segment.name not in named:
            segment.managed = not segment.managed

    def _share(self) -> None:
        open_to = [s.name for s in self.segments if s.managed]
        if self.memberships and self.random.random() < 0.3:
            self.memberships.pop()
        elif open_to:
            names = self.random.sample(open_to, self.random.randrange(1, len(open_to) + 1))
            self.memberships.append(Membership(names, [self._source()]))

    def _exclude(self) -> None:
        segment = self._pick()
        if segment and not segment.tabled and segment.managed:
            segment.exclude = [] if segment.exclude else [self._source(form="txt")]

    def _forget(self) -> None:
        if (segment := self._pick()) and self.random.random() < 0.5:
            segment.forget = not segment.forget

    def _rename(self) -> None:
        if segment := self._pick():
            segment.display = self.names[segment.key] = f"Name {self._number()}"

    # Files

    def write(self, root: Path) -> None:
        """Write all manifests and sources."""
        self.forgettable |= {s.key for s in self.segments if s.forget}
        documents = list(self._documents())
        self.random.shuffle(documents)
        middle = self.random.randrange(len(documents) + 1)
        (root / "one.yaml").write_text(yaml.safe_dump_all(documents[:middle]))
        (root / "two.yml").write_text(yaml.safe_dump_all(documents[middle:]))
        for source in self._sources():
            source.write(root)
        rows = [f"{value},{s.name}\n" for s in self.segments if s.tabled for value in _rows(s)]
        (root / "table.csv").write_text("identity,label\n" + "".join(rows))

    def _sources(self) -> Iterator[Source]:
        for segment in self.segments:
            yield from segment.exclude
            if not segment.tabled:
                yield from segment.sources
        for shared in self.memberships:
            yield from shared.sources

    def _documents(self) -> Iterator[dict[str, object]]:
        tabled = {}
        for segment in self.segments:
            spec: dict[str, object] = {
                "displayName": segment.display,
                "customerSegmentId": segment.key,
                "lifecycle": {"onRemove": "forget" if segment.forget else "empty"},
            }
            if segment.tabled:
                tabled[segment.name] = spec
                continue
            sources = [source.manifest() for source in segment.sources]
            excluded = [source.manifest() for source in segment.exclude] if segment.managed else []
            spec |= {"exclude": excluded} if excluded else {}
            spec |= {"members": sources if segment.managed else "unmanaged"}
            yield _document("Segment", segment.name, spec)
        if tabled:
            table = {"source": {"file": {"path": "table.csv"}}, "segmentColumn": "label"}
            yield _document("SegmentTable", "table", {**table, "segments": tabled})
        for number, shared in enumerate(self.memberships):
            sources = [source.manifest() for source in shared.sources]
            shares = {"segments": shared.segments, "members": sources}
            yield _document("Membership", f"m{number}", shares)


def _rows(segment: Segment) -> list[str]:
    return [value for source in segment.sources for value in source.values]


def _document(kind: str, name: str, spec: object) -> dict[str, object]:
    return {"apiVersion": "segctl/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
