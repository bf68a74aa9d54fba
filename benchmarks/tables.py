"""The tables of results, as Markdown that is readable in a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from benchmarks.contenders import BARE_DUCKDB, SEGCTL_PLAN
from benchmarks.store import Document, Measurement


@dataclass(frozen=True, kw_only=True)
class Table:
    """A named table. Its first ``words`` columns are text, the others figures."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1

    def __str__(self) -> str:
        """Return padded Markdown."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]
        rule = [
            "-" * width if column < self.words else "-" * (width - 1) + ":"
            for column, width in enumerate(widths)
        ]
        return "\n".join(self._line(line, widths) for line in (self.head, rule, *self.rows))

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = [
            cell.ljust(width) if column < self.words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"


def seconds(value: float) -> str:
    """Format seconds with three significant digits."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def reconcile(suite: str, document: Document) -> list[Table]:
    """Return the tables of a suite of ``reconcile``."""
    found = [Measurement(**row) for row in document["measurements"]]
    compared = [m for m in found if m.suite == suite]
    match suite:
        case "peers":
            return [_peers(compared)]
        case "unchanged":
            return [_alone(suite, compared)]
        case "state":
            return [_states(document["states"])]
        case _:
            return [_against_the_limit(suite, compared)]


def applied(document: Document) -> Table:
    """Return the table of ``apply_throughput``."""
    rows = []
    for each in document["applied"]:
        latency = each["latency_ms"]
        most = 1000 * document["in_flight"] / latency if latency else None
        rate = each["requests_a_second"]
        rows.append(
            [
                each["client"],
                f"{latency} ms",
                f"{each['requests']:,}",
                f"{rate:,.1f}",
                f"{100 * rate / most:.0f} %" if most else "–",
                seconds(each["seconds"]),
                f"{each['cpu_ms_a_request']:.2f}",
                *(f"{each[name]:,.0f}" for name in ("first_mib", "last_mib", "peak_mib")),
            ]
        )
    head = [
        "client",
        "latency",
        "requests",
        "requests/s",
        "of 3 / latency",
        "s",
        "CPU ms a request",
        "MiB at first",
        "at last",
        "peak",
    ]
    return Table(name="apply", head=head, rows=rows)


def startup(document: Document) -> Table:
    """Return the table of ``startup``."""
    rows = [
        [
            each["program"],
            each["limit"],
            f"{each['seconds']:.3f}",
            f"{each['limit_seconds']:.3f}",
            f"{each['cpu_seconds']:.3f}",
            f"{each['limit_cpu_seconds']:.3f}",
            f"{each['cpu_seconds'] / each['limit_cpu_seconds']:.1f}",
        ]
        for each in document["startup"]
    ]
    head = ["program", "limit", "s", "limit, s", "CPU s", "limit, CPU s", "ratio"]
    return Table(name="startup", head=head, rows=rows, words=2)


def composed(document: Document) -> Table:
    """Return the table of ``composed``."""
    rows = [
        [
            each["kind"],
            f"{each['rows']:,}",
            f"{each['add'] + each['remove']:,}",
            seconds(each["seconds"]),
            seconds(each["plain_seconds"]),
            f"{each['seconds'] / each['plain_seconds']:.1f}",
            seconds(each["cpu_seconds"]),
            seconds(each["plain_cpu_seconds"]),
            f"{each['peak_mib']:,.0f}",
            f"{each['plain_peak_mib']:,.0f}",
        ]
        for each in document["composed"]
    ]
    head = "composed by,members,changes,s,plain s,ratio,CPU s,plain CPU s,MiB,plain MiB"
    return Table(name="composed", head=head.split(","), rows=rows)


def packing(document: Document) -> Table:
    """Return the table of ``packing``."""
    rows = [
        [
            each["workload"],
            *(
                f"{each[name]:,}"
                for name in ("changes", "users", "naive", "plain", "bound", "requests")
            ),
            f"{each['requests'] / max(each['naive'], 1):.3f}",
            f"{each['requests'] / max(each['bound'], 1):.2f}",
            seconds(each["seconds"]),
            seconds(each["cpu_seconds"]),
            f"{each['peak_mib']:,}",
        ]
        for each in document["packed"]
    ]
    head = "workload,changes,users,naive,users / 100,bound,requests,of naive,of bound,s,CPU s,MiB"
    return Table(name="packing", head=head.split(","), rows=rows)


def emulator(document: Document) -> list[Table]:
    """Return the tables of ``emulator_throughput``."""
    rows = [
        [
            each["sent"],
            f"{each['changes_a_second']:,}",
            f"{each['requests_a_second']:,}",
            f"{each['seconds']:.1f}",
        ]
        for each in document["parts"]
    ]
    rest = [
        ["listing 300 empty segments", f"{document['listing_empty_ms']} ms"],
        ["listing them full, with counts", f"{document['listing_full_ms']} ms"],
        ["memory of the server", f"{document['memory_mib']:,} MiB"],
        ["data on disk", f"{document['disk_mib']:,} MiB"],
        ["starting with that data", f"{document['start_seconds']} s"],
    ]
    head = ["sent", "changes/s", "requests/s", "s"]
    return [
        Table(name="emulator", head=head, rows=rows),
        Table(name="emulator_rest", head=["", "then"], rows=rest),
    ]


def emulator_scale(document: Document) -> list[Table]:
    """Return the tables of ``emulator_scale``."""
    starts = [
        [
            each["data"],
            f"{each['after_stop_seconds']} s",
            f"{each['after_kill_seconds']} s",
            f"{each['memory_mib']:,} MiB",
            f"{each['disk_mib']:,} MiB",
        ]
        for each in document["starts"]
    ]
    readers = [
        [each["reader"], f"{each['updates']:,}", *(str(each[name]) for name in LATENCIES)]
        for each in document["readers"]
    ]
    reads = [[name, f"{milliseconds} ms"] for name, milliseconds in document["reads"]]
    head = ["data", "start", "after kill -9", "memory", "on disk"]
    return [
        Table(name="emulator_starts", head=head, rows=starts),
        Table(
            name="emulator_readers",
            head=["reader", "updates", "p50, ms", "p99, ms", "longest, ms"],
            rows=readers,
        ),
        Table(name="emulator_reads", head=["", "then"], rows=reads),
    ]


LATENCIES = ("p50_ms", "p99_ms", "max_ms")

LABELS = {"first": "segments", "segments": "segments", "formats": "written as", "keys": "keys"}
"""What the jobs of a suite differ in, apart from their size."""


WITHOUT_RATE = ("first", "imports")
"""The suites in which all members are new."""

COMPARED = (
    "changed",
    "segctl, s",
    "DuckDB, s",
    "ratio",
    "segctl, CPU s",
    "DuckDB, CPU s",
    "segctl, MiB",
    "DuckDB, MiB",
)


def _against_the_limit(suite: str, found: Sequence[Measurement]) -> Table:
    """Compare segctl with bare DuckDB, job by job."""
    head = COMPARED[1:] if suite in WITHOUT_RATE else COMPARED
    labels = [*([LABELS[suite]] if suite in LABELS else []), "members"]
    rows = []
    for _, same in groupby(found, key=lambda m: m.job):
        by_name = {m.contender: m for m in same}
        ours, limit = by_name[SEGCTL_PLAN.name], by_name[BARE_DUCKDB.name]
        rows.append([*_labels(ours, labels), *_compared(ours, limit)[-len(head) :]])
    return Table(name=suite, head=[*labels, *head], rows=rows, words=len(labels) - 1)


def _compared(ours: Measurement, limit: Measurement) -> list[str]:
    return [
        f"{ours.rate} %",
        seconds(ours.median_seconds),
        seconds(limit.median_seconds),
        f"{ours.median_seconds / limit.median_seconds:.1f}",
        seconds(ours.median_cpu_seconds),
        seconds(limit.median_cpu_seconds),
        f"{ours.peak:,.0f}",
        f"{limit.peak:,.0f}",
    ]


ARRANGEMENTS = {"one": "one Segment", "segments": "a Segment each", "table": "one SegmentTable"}


def _labels(measured: Measurement, labels: Iterable[str]) -> list[str]:
    limit = f", {measured.memory_limit} limit" if measured.memory_limit else ""
    told = {
        "members": f"{measured.rows:,}{limit}",
        "segments": ARRANGEMENTS[measured.arrangement] + (", skewed" if measured.skewed else ""),
        "written as": measured.format,
        "keys": measured.keys,
    }
    return [told[label] for label in labels]


def _peers(found: Sequence[Measurement]) -> Table:
    """Compare all contenders: one row each, two columns per size."""
    sizes = sorted({m.rows for m in found})
    names = list(dict.fromkeys(m.contender for m in found))
    by_both = {(m.contender, m.rows): m for m in found}
    rows = [
        [name, *(_seconds_and_peak(by_both.get((name, size))) for size in sizes)] for name in names
    ]
    return Table(name="peers", head=["", *(f"{size:,}" for size in sizes)], rows=rows)


def _seconds_and_peak(measured: Measurement | None) -> str:
    if measured is None:
        return "–"
    if measured.capped:
        return f"> {measured.median_seconds:.0f} s, > {measured.peak:,.0f} MiB"
    return f"{seconds(measured.median_seconds)} s, {measured.peak:,.0f} MiB"


def _alone(name: str, found: Sequence[Measurement]) -> Table:
    """Return a table of segctl alone, for suites without a peer."""
    rows = [
        [
            *_labels(m, ["members"]),
            seconds(m.median_seconds),
            seconds(m.median_cpu_seconds),
            f"{m.peak:,.0f}",
        ]
        for m in found
    ]
    return Table(name=name, head=["members", "s", "CPU s", "MiB"], rows=rows, words=0)


def _states(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for each in found:
        state, journal = each["members"] + each["head"], each["journal"]
        rows.append(
            [
                f"{each['rows']:,}",
                f"{each['rate']} %",
                f"{each['before']:,}",
                f"{state:,}",
                f"{100 * state / each['before']:.1f} %",
                f"{journal:,}",
                f"{100 * (state + journal) / each['before']:.1f} %",
            ]
        )
    head = [
        "members",
        "changed",
        "bytes of state",
        "bytes written to it",
        "share",
        "journal",
        "share with it",
    ]
    return Table(name="state", head=head, rows=rows, words=0)
