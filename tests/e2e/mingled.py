"""Random workspaces that combine everything that decides who is in a segment.

Who is to be where is computed here in plain Python from what the manual says, with nothing
of segctl: not its order of steps, its rules of what is valid, nor its hold-outs.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
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
    *("a b", "#no", "${x", "-", "\u0131", "ß", "SS", "🧑‍🚀", "z" * 200),
]
INVALID = ["", "\\N", " lead", "trail ", "null", "N/A", "0", "in\u0007side", "x" * 1024, "\u3000"]
KINDS = ("identity", "guid")
FORMS = ("list", "csv", "tsv", "jsonl", "parquet", "txt", "csv.gz", "query")
SALTS = ("", "spring", "\u017falt é")
TABLED = ("t0", "t1")
NAMES = ("s0", "s1", "t0", "s2", "s3", "t1", "s4", "s5")
"""Segments, in an order in which each may read those before it."""


@dataclass
class Rows:
    """The rows of one source file: values in order, some repeated, some not user keys."""

    name: str
    form: str
    kind: str
    values: list[str]

    def users(self) -> set[User]:
        """Return the users that the rows identify."""
        return {(self.kind, value) for value in self.values if value not in INVALID}

    def manifest(self) -> dict[str, object]:
        """Return the source as YAML of a manifest."""
        skip = {"onInvalid": "skip"}
        path = f"data/{self.name}.{self.form}"
        if self.form == "list":
            values = [value.replace("${", "$${") for value in self.values]
            return {"identities" if self.kind == "identity" else "guids": values}
        if self.form == "query":
            sql = f"select who as {self.kind} from 'data/{self.name}.csv' where tag <> 'no'"
            return {"query": {"sql": sql, **skip}}
        column = {"comments": ""} if self.form == "txt" else {"column": "who"}
        return {"file": {"path": path, "kind": self.kind, **column, **skip}}

    def write(self, root: Path) -> None:
        """Write the file that the source reads, if any."""
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


Violation = tuple[str, int, tuple[str, ...]]
"""The form of a rule, how many users break it, and the segments."""

Source = Rows | str
"""Rows, or the name of another segment."""


@dataclass
class Said:
    """What a workspace declares about one segment."""

    members: list[Source] = field(default_factory=list)
    intersect: list[Source] = field(default_factory=list)
    exclude: list[Source] = field(default_factory=list)
    holdout: tuple[str, str] | None = None
    forget: bool = False


@dataclass
class Rule:
    """A rule of the project about some segments: ``of`` another one, or ``least`` and ``most``."""

    form: str
    names: list[str]
    of: str = ""
    least: int = 0
    most: int = 0

    def manifest(self) -> dict[str, object]:
        """Return the source as YAML of a manifest."""
        said: dict[str, object] = {"segments": self.names}
        match self.form:
            case "disjoint":
                return {"disjoint": self.names, "severity": "warning"}
            case "subset":
                said |= {"of": self.of}
            case "size":
                said |= {"min": self.least, "max": self.most}
        return {self.form: said, "severity": "warning"}

    def broken(self, members: Mapping[str, set[User]]) -> Iterator[Violation]:
        """Return how many users break the rule, and in which segments."""
        match self.form:
            case "disjoint":
                for one, other in combinations(self.names, 2):
                    yield "disjoint", len(members[one] & members[other]), (one, other)
            case "subset":
                for name in self.names:
                    yield "subset", len(members[name] - members[self.of]), (name, self.of)
            case "size":
                for name in self.names:
                    if not self.least <= len(members[name]) <= self.most:
                        yield "size", len(members[name]), (name,)


@dataclass
class World:
    """Everything declared. Changes at random."""

    random: Random
    said: dict[str, Said] = field(default_factory=dict)
    table: list[tuple[str, str]] = field(default_factory=list)
    granted: list[tuple[list[str], Source]] = field(default_factory=list)
    suppressed: list[Rows] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    forgettable: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    numbers: int = 0

    def __post_init__(self) -> None:
        for name in NAMES:
            self.said[name] = self._say(name)
        for begin in (self._fill_table, self._grant, self._suppress, self._rule_all):
            begin()

    # Desired members

    def members(self) -> dict[str, set[User]]:
        """Return the desired members of each segment."""
        return {name: final for name, (final, _, _) in self.solved().items()}

    def solved(self) -> dict[str, tuple[set[User], int, int]]:
        """Return the desired members of each segment, and how many are held out and suppressed."""
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

    def broken(self, planned: set[str]) -> set[Violation]:
        """Return the violations that a plan of these segments reports."""
        made_of, todo = set(planned), list(planned)
        while todo:
            read = self._read_by(todo.pop()) - made_of
            made_of |= read
            todo += read
        members = self.members()
        about = [rule for rule in self.rules if made_of & {*rule.names, *_of(rule)}]
        found = {violation for rule in about for violation in rule.broken(members)}
        return {(form, count, names) for form, count, names in found if count or form == "size"}

    def _read_by(self, name: str) -> set[str]:
        said = self.said[name]
        sources = [*said.members, *said.intersect, *said.exclude]
        sources += [source for names, source in self.granted if name in names]
        return {source for source in sources if isinstance(source, str)}

    # Changes

    def change(self) -> None:
        """Change one thing."""
        often = (self._change_rows, self._change_rows, self._change_rows, self._change_one)
        seldom = (self._fill_table, self._grant, self._suppress, self._rule_all)
        self.random.choice((*often, *seldom, self._change_one, self._drop, self._bring_back))()

    def _change_rows(self) -> None:
        if every := list(self._rows()):
            rows = self.random.choice(every)
            rows.values = self._rows_of(rows.form).values

    def _change_one(self) -> None:
        if self.said:
            name = self.random.choice(list(self.said))
            self.said[name] = self._say(name)

    def _fill_table(self) -> None:
        words = self.random.choices(WORDS + INVALID, k=self.random.randrange(40))
        self.table = [(word, self.random.choice((*TABLED, "other"))) for word in words]

    def _grant(self) -> None:
        later: list[str] = [name for name in ("s3", "t1", "s4", "s5") if name in self.said]
        early: list[str] = [name for name in ("s0", "s1", "t0") if name in self.said]
        several = range(self.random.randrange(3) if later else 0)
        few = [self.random.sample(later, self.random.randint(1, len(later))) for _ in several]
        self.granted = [(names, self._source(early)) for names in few]

    def _suppress(self) -> None:
        self.suppressed = [self._rows_of(few=True) for _ in range(self.random.randrange(3))]

    def _rule_all(self) -> None:
        self.rules = [self._rule() for _ in range(3) if len(self.said) > 3]

    def _bring_back(self) -> None:
        for name in (n for n in NAMES if n not in self.said and n not in self.lost):
            self.said[name] = self._say(name)

    def _drop(self) -> None:
        """Remove a segment, and everything that names it."""
        if not self.said:
            return
        name = self.random.choice(list(self.said))
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
        self.rules = [rule for rule in self.rules if name not in (*rule.names, rule.of)]

    def _rule(self) -> Rule:
        form = self.random.choice(("disjoint", "subset", "size"))
        of, *names = self.random.sample(list(self.said), self.random.randint(3, 4))
        least = self.random.randrange(20)
        return Rule(form, names, of, least, least + self.random.randrange(20))

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
        elif not values and form in ("txt", "jsonl"):
            form = "csv"  # a file without a byte is no list
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
        suppress = [_restriction(rows) for rows in self.suppressed]
        spec = {
            "guards": guards,
            "provider": {"maxRefusedPercent": 100},
            "rules": [rule.manifest() for rule in self.rules],
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
                spec[key] = [_restriction(source) for source in sources]
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


def _of(rule: Rule) -> list[str]:
    return [rule.of] if rule.form == "subset" else []


def _manifest(source: Source) -> dict[str, object]:
    return {"segment": source} if isinstance(source, str) else source.manifest()


def _restriction(source: Source) -> dict[str, object]:
    """Return the manifest of a source that may lose all its rows."""
    manifest = _manifest(source)
    for form in ("file", "query"):
        settings = manifest.get(form)
        if isinstance(settings, dict):
            manifest[form] = {**settings, "maxShrinkPercent": 100}
    return manifest


def _table(rows: list[tuple[str, str]]) -> bytes:
    lines = ('"' + who.replace('"', '""') + f'",{label}\n' for who, label in rows)
    return ("who,label\n" + "".join(lines)).encode()


def _document(kind: str, name: str, spec: object) -> str:
    document = {"apiVersion": "segctl/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return json.dumps(document, ensure_ascii=False) + "\n"
