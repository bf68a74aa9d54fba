"""Pack every workload, check the result independently, and print the cost.

    python -m benchmarks.packing [NAME ...] [--scale X] [--distinct]

Each workload runs in its own process, so that the peak memory is its own.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks import store, tables
from benchmarks.machine import Session
from benchmarks.measuring import measure
from benchmarks.workloads import CDNOW, WORKLOADS, Delta, as_ops, cdnow_months, check
from segctl.packing import Limits, pack

REPLAY = "cdnow"
"""The workload of many small deltas, one per month-end, summed up."""


@dataclass(frozen=True, kw_only=True)
class PackedWorkload:
    """A workload and its packing.

    ``plain`` is users / 100, ``bound`` the best proven lower bound.  Peak MiB.
    """

    workload: str
    changes: int
    users: int
    naive: int
    plain: int
    bound: int
    requests: int
    seconds: float
    cpu_seconds: float
    peak_mib: int


def run(name: str, deltas: list[Delta], limits: Limits) -> PackedWorkload:
    """Pack and check; sums over the deltas."""
    changes = users = naive = plain = bound = requests = 0
    seconds = cpu = 0.0
    for delta in deltas:
        user, op, removal = as_ops(delta)
        began, busy = time.perf_counter(), time.process_time()
        packing = pack(user, op, removal=removal, limits=limits)
        seconds += time.perf_counter() - began
        cpu += time.process_time() - busy
        check(user, op, packing, limits)
        distinct = len(np.unique(user))
        changes += len(user)
        users += distinct
        naive += packing.naive
        plain += -(-distinct // limits.users)
        bound += packing.floor
        requests += packing.requests
    return PackedWorkload(
        workload=name,
        changes=changes,
        users=users,
        naive=naive,
        plain=plain,
        bound=bound,
        requests=requests,
        seconds=round(seconds, 2),
        cpu_seconds=round(cpu, 2),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    everything = [*WORKLOADS, *([REPLAY] if CDNOW.exists() else [])]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(everything))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--distinct", action="store_true")
    parser.add_argument("--json", type=Path, default=store.RESULTS, metavar="FOLDER")
    parser.add_argument("--here", action="store_true", help="in this process, printed as JSON")
    options = parser.parse_args(arguments)
    names = options.names or everything
    limits = Limits(counting="distinct" if options.distinct else "strict")
    if options.here:
        for name in names:
            deltas = cdnow_months() if name == REPLAY else [WORKLOADS[name](options.scale)]
            print(json.dumps(asdict(run(name, deltas, limits))))
        return
    shared = ["--here", "--scale", str(options.scale), *(["--distinct"] * options.distinct)]
    session, packed = Session(), []
    for name in names:
        packed.append(json.loads(_alone(name, shared)))
        print(f"packing: {name}", file=sys.stderr, flush=True)
    body = {"scale": options.scale, "counting": limits.counting, "packed": packed}
    print(tables.packing(store.save(options.json, "packing", session, body)))


def _alone(name: str, options: Sequence[str]) -> str:
    return measure([sys.executable, "-m", "benchmarks.packing", name, *options]).output


if __name__ == "__main__":
    main()
