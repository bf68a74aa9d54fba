"""Workspaces in which everything that decides who is in a segment comes together at random.

Who is to be where is computed here in plain Python from what the manual says, with nothing
of segctl: not its order of steps, its rules of what is valid, nor its hold-outs.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from random import Random

import duckdb

from tests.e2e.outside_service import User

WORDS = [
    *(
        "ann@example.com",
        "Ann@example.com",
        "Ünal",
        "U\u0308nal",
        "\uff21\uff22",
        "名前",
        "x\u0301",
        "😀",
    ),
    *("0012", "12", "1e3", "true", "O'Hara", 'q"uote', "a,b", "semi;colon", "back\\slash", "NULLs"),
    *("a b", "\\N", "#no", "${x", "-", "\u0131", "ß", "SS", "🧑‍🚀", "z" * 200),
]
INVALID = ["", " lead", "trail ", "null", "N/A", "0", "in\u0007side", "x" * 1024, "\u3000"]
KINDS = ("identity", "guid")
FORMS = ("list", "csv", "tsv", "jsonl", "parquet", "txt", "csv.gz", "query")
SALTS = ("", "spring", "\u017falt é")
TABLED = ("t0", "t1")
NAMES = ("s0", "s1", "t0", "s2", "s3", "t1", "s4", "s5")
"""Segments, in an order in which each may read those before it."""


@dataclass
class Rows:
    """One source as it stands in a file: values in an order, some twice, some no user keys."""

    name: str
    form: str
    kind: str
    values: list[str]

    def users(self) -> set[User]:
        """Give the users that are meant."""
        return {(self.kind, value) for value in self.values if value not in INVALID}

    def manifest(self) -> dict[str, object]:
        """Give this as it stands in a manifest."""
        skip = {"onInvalid": "skip"}
        path = f"data/{self.name}.{self.form}"
        if self.form == "list":
            values = [value.replace("${", "$${") for value in self.values]
            return {"identities" if self.kind == "identity" else "guids": values}
        if self.form == "query":
            sql = f"select who as {self.kind} from 'data/{self.name}.csv' where tag <> 'no'"
            return {"query": {"sql": sql, **skip}}
        column = {} if self.form == "txt" else {"column": "who"}
        return {"file": {"path": path, "kind": self.kind, **column, **skip}}

    def write(self, root: Path) -> None:
        """Write the file that this reads, if any."""
        path = root / "data" / f"{self.name}.{self.form}"
        path.parent.mkdir(exist_ok=True)
        match self.form:
            case "csv":
                path.write_bytes(_separated(self.values, ",").encode())
            case "tsv":
                path.write_bytes(_separated(self.values, "\t").encode())
            case "csv.gz":
                path.write_bytes(gzip.compress(_separated(self.values, ",").encode()))
            case "query":
                path.with_suffix(".csv").write_bytes(_separated(self.values, ",").encode())
            case "txt":
                path.write_bytes("".join(f"{value}\n" for value in self.values).encode())
            case "jsonl":
                path.write_text("".join(json.dumps({"who": v}) + "\n" for v in self.values))
            case "parquet":
                with duckdb.connect() as db:
                    db.execute(
                        "CREATE TABLE t AS SELECT unnest($1::VARCHAR[]) AS who", [self.values]
                    )
                    db.execute(f"COPY t TO '{path}'")


def _separated(values: list[str], mark: str) -> str:
    quoted = ('"' + value.replace('"', '""') + '"' for value in values)
    return f"tag{mark}who\n" + "".join(f"yes{mark}{value}\n" for value in quoted)


Source = Rows | str
"""Rows, or the name of another segment."""


@dataclass
class Said:
    """What is said of one segment."""

    members: list[Source] = field(default_factory=list)
    intersect: list[Source] = field(default_factory=list)
    exclude: list[Source] = field(default_factory=list)
    holdout: tuple[str, str] | None = None
    forget: bool = False


@dataclass
class World:
    """Everything that is declared; changes at random."""

    random: Random
    said: dict[str, Said] = field(default_factory=dict)
    table: list[tuple[str, str]] = field(default_factory=list)
    granted: list[tuple[list[str], Source]] = field(default_factory=list)
    suppressed: list[Rows] = field(default_factory=list)
    forgettable: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    numbers: int = 0

    def __post_init__(self) -> None:
        for name in NAMES:
            self.said[name] = self._say(name)
        self.change("table")
        self.change("granted")
        self.change("suppressed")

    # Who is to be where

    def members(self) -> dict[str, set[User]]:
        """Give who is to be in each segment."""
        return {name: final for name, (final, _, _) in self.solved().items()}

    def solved(self) -> dict[str, tuple[set[User], int, int]]:
        """Give who is to be in each segment, and how many are held out and suppressed."""
        gone = {user for rows in self.suppressed for user in rows.users()}
        read: dict[str, set[User]] = {}
        found: dict[str, tuple[set[User], int, int]] = {}

        def of(source: Source) -> set[User]:
            return read[source] if isinstance(source, str) else source.users()

        for name in (name for name in NAMES if name in self.said):
            said = self.said[name]
            users = {user for source in said.members for user in of(source)}
            users |= {
                ("identity", w) for w, label in self.table if label == name and w not in INVALID
            }
            users |= {u for names, source in self.granted if name in names for u in of(source)}
            for source in said.intersect:
                users &= of(source)
            for source in said.exclude:
                users -= of(source)
            held = {user for user in users if said.holdout and _held(name, *said.holdout, user)}
            read[name] = users - held
            found[name] = (read[name] - gone, len(held), len(read[name] & gone))
        return found

    # Changes

    def change(self, what: str = "") -> None:
        """Change one thing."""
        what = what or self.random.choice(
            ["rows", "rows", "rows", "say", "say", "table", "granted", "suppressed", "drop", "back"]
        )
        match what:
            case "rows":
                if every := list(self._rows()):
                    rows = self.random.choice(every)
                    rows.values = self._rows_of(rows.form).values
            case "say" if self.said:
                name = self.random.choice(list(self.said))
                self.said[name] = self._say(name)
            case "table":
                words = self.random.choices(WORDS + INVALID, k=self.random.randrange(40))
                self.table = [(word, self.random.choice((*TABLED, "other"))) for word in words]
            case "granted":
                later = [name for name in ("s3", "t1", "s4", "s5") if name in self.said]
                early = [name for name in ("s0", "s1", "t0") if name in self.said]
                self.granted = [
                    (
                        self.random.sample(later, self.random.randint(1, len(later))),
                        self._source(early),
                    )
                    for _ in range(self.random.randrange(3) if later else 0)
                ]
            case "suppressed":
                self.suppressed = [self._rows_of(few=True) for _ in range(self.random.randrange(3))]
            case "drop" if self.said:
                self._drop(self.random.choice(list(self.said)))
            case "back":
                for name in (n for n in NAMES if n not in self.said and n not in self.lost):
                    self.said[name] = self._say(name)

    def _drop(self, name: str) -> None:
        """Take a segment away, and whatever names it."""
        del self.said[name]
        self.lost |= {name} & self.forgettable
        for said in self.said.values():
            for sources in (said.members, said.intersect, said.exclude):
                sources[:] = [source for source in sources if source != name]
        self.granted = [
            ([n for n in names if n != name], source)
            for names, source in self.granted
            if source != name and names != [name]
        ]

    def _say(self, name: str) -> Said:
        before = [n for n in NAMES[: NAMES.index(name)] if n in self.said]
        return Said(
            members=[] if name in TABLED else self._sources(before, 3),
            intersect=self._sources(before, 1) if self.random.random() < 0.4 else [],
            exclude=self._sources(before, 2) if self.random.random() < 0.5 else [],
            holdout=(
                self.random.choice(("0", "0.1", "12.5", "50", "100")),
                self.random.choice(SALTS),
            )
            if self.random.random() < 0.4
            else None,
            forget=self.random.random() < 0.2,
        )

    def _sources(self, before: Sequence[str], most: int) -> list[Source]:
        return [self._source(before) for _ in range(self.random.randint(0, most))]

    def _source(self, before: Sequence[str]) -> Source:
        if before and self.random.random() < 0.4:
            return self.random.choice(before)
        return self._rows_of()

    def _rows_of(self, form: str = "", *, few: bool = False) -> Rows:
        self.numbers += 1
        form = form or self.random.choice(FORMS)
        values = self.random.choices(WORDS, k=self.random.randrange(5 if few else 60))
        if form == "list":
            values = sorted(set(values)) or ["one"]
        else:
            values += self.random.choices(INVALID, k=self.random.randrange(3))
            self.random.shuffle(values)
        return Rows(f"r{self.numbers}", form, self.random.choice(KINDS), values)

    # Files

    def write(self, root: Path) -> None:
        """Write all manifests and sources."""
        self.forgettable |= {name for name, said in self.said.items() if said.forget}
        for rows in self._rows():
            rows.write(root)
        guards = {"allowEmpty": True, "maxRemovePercent": 100, "maxDestroys": 100}
        suppress = [rows.manifest() for rows in self.suppressed]
        spec = {
            "guards": guards,
            "provider": {"maxRefusedPercent": 100},
            **({"suppress": suppress} if suppress else {}),
        }
        (root / "segctl.yaml").write_text(_document("Project", "mingled", spec))
        (root / "table.csv").write_bytes(_table(self.table))
        (root / "segments.yaml").write_text("---\n".join(self._documents()))

    def _rows(self) -> Iterator[Rows]:
        for said in self.said.values():
            for sources in (said.members, said.intersect, said.exclude):
                yield from (source for source in sources if isinstance(source, Rows))
        yield from (source for _, source in self.granted if isinstance(source, Rows))
        yield from self.suppressed

    def _documents(self) -> Iterator[str]:
        within = {name: self._spec(name) for name in TABLED if name in self.said}
        if within:
            file = {"file": {"path": "table.csv", "column": "who", "onInvalid": "skip"}}
            table = {"source": file, "segmentColumn": "label", "otherValues": "ignore"}
            yield _document("SegmentTable", "table", {**table, "segments": within})
        for name in self.said:
            if name not in TABLED:
                members = [_manifest(source) for source in self.said[name].members]
                yield _document("Segment", name, {**self._spec(name), "members": members})
        for number, (names, source) in enumerate(self.granted):
            spec = {"segments": names, "members": [_manifest(source)]}
            yield _document("Membership", f"m{number}", spec)

    def _spec(self, name: str) -> dict[str, object]:
        said = self.said[name]
        spec: dict[str, object] = {"displayName": f"The {name}", "customerSegmentId": f"ID-{name}"}
        for key, sources in (("intersect", said.intersect), ("exclude", said.exclude)):
            if sources:
                spec[key] = [_manifest(source) for source in sources]
        if said.holdout:
            percent, salt = said.holdout
            spec["holdout"] = {"percent": float(percent), **({"salt": salt} if salt else {})}
        spec["lifecycle"] = {"onRemove": "forget" if said.forget else "empty"}
        return spec


def _held(name: str, percent: str, salt: str, user: User) -> bool:
    kind, value = user
    text = f"{salt or f'ID-{name}'}\x1f{kind[0]}{value}".encode()
    share = Fraction(int.from_bytes(hashlib.sha256(text).digest()[:8]), 1 << 64)
    return share < Fraction(float(percent)) / 100


def _manifest(source: Source) -> dict[str, object]:
    return {"segment": source} if isinstance(source, str) else source.manifest()


def _table(rows: list[tuple[str, str]]) -> bytes:
    lines = ('"' + who.replace('"', '""') + f'",{label}\n' for who, label in rows)
    return ("who,label\n" + "".join(lines)).encode()


def _document(kind: str, name: str, spec: object) -> str:
    document = {"apiVersion": "segctl/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return json.dumps(document, ensure_ascii=False) + "\n"
