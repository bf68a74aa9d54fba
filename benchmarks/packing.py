"""Pack every workload, check the result independently, print what it took.

    python -m benchmarks.packing [NAME ...] [--scale X] [--distinct]

Peak memory is the process's own high-water mark: run one workload at a time to
compare them.
"""

import argparse
import resource
import time

import numpy as np

from benchmarks.workloads import CDNOW, WORKLOADS, Delta, as_ops, cdnow_months, check
from segctl.packing import Limits, pack

HEADER = (
    f"{'workload':12s} {'changes':>9s} {'users':>8s} {'naive':>7s} {'floor':>7s} {'bound':>7s} "
    f"{'requests':>8s} {'/naive':>7s} {'/bound':>7s} {'seconds':>8s} {'cpu s':>7s} {'peak MB':>8s}"
)


def run(name: str, deltas: list[Delta], limits: Limits) -> None:
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{name:12s} {changes:9d} {users:8d} {naive:7d} {plain:7d} {bound:7d} {requests:8d} "
        f"{requests / max(naive, 1):7.3f} {requests / max(bound, 1):7.3f} "
        f"{seconds:8.2f} {cpu:7.2f} {peak:8d}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[*WORKLOADS, "cdnow"])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--distinct", action="store_true")
    options = parser.parse_args()
    limits = Limits(counting="distinct" if options.distinct else "strict")
    print(HEADER)
    for name in options.names:
        if name == "cdnow":
            if CDNOW.exists():
                run(name, cdnow_months(), limits)
        else:
            run(name, [WORKLOADS[name](options.scale)], limits)


if __name__ == "__main__":
    main()
