"""The changes of a saved delta prove the certificates of the packer, which numbers them alike."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from benchmarks.workloads import WORKLOADS
from segctl.core.certificate import Certificate
from segctl.core.identity import Kind
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import SavedPlanError, SavedPlanFiles
from segctl.engine.saved_packing import check_saved_packing
from segctl.packing import Limits
from segctl.packing.bound import naive_requests, slot_floor
from segctl.packing.delta import Delta, build_delta
from segctl.packing.split_bound import prove_by_splits
from segctl.packing.width_bound import prove_by_widths
from tests.engine.engine_kit import inline, recorded_files

EMPTY_FILES = SavedPlanFiles(
    delta=Path(),
    keys=("A",),
    requests=0,
    settle_from=0,
    counting="strict",
    values=(),
    segments=(),
)

CASES = {
    "splits": ("attributes", 0.003),
    "user widths": ("random", 0.005),
    "operation widths": ("heavy", 0.02),
}


def numbered(workload: str, scale: float) -> Delta:
    """Return a delta of additions; users and segments are numbered in the order of their names."""
    user, segment, _ = WORKLOADS[workload](scale)
    return build_delta(
        np.asarray(user, np.int64),
        np.asarray(segment, np.int64),
        np.zeros(int(segment.max()) + 1, np.bool_),
    )


def saved(delta: Delta, folder: Path) -> SavedPlanFiles:
    """Save a delta as that of a plan. Targets are not in the order of their keys."""
    user = np.repeat(delta.users, np.diff(delta.row_start))
    columns = {"person": user, "op": delta.ops[delta.cols]}
    last = int(delta.ops.max())
    file = folder / "delta.parquet"
    with duckdb.connect() as db:
        db.register("columns", columns)
        db.execute(
            f"COPY (SELECT 0::INTEGER AS request, ({last} - op)::INTEGER AS target, "
            "'ADD' AS action, 'identity' AS kind, printf('u%07d', person) AS value FROM columns) "
            f"TO '{file}' (FORMAT parquet)"
        )
    keys = tuple(f"key {last - target:06}" for target in range(last + 1))
    return replace(EMPTY_FILES, delta=file, keys=keys, requests=1, settle_from=1)


def proven_certificate(proof: str, delta: Delta) -> Certificate:
    """Return the certificate of the packer."""
    if proof == "splits":
        certificate = prove_by_splits(delta, Limits())
    else:
        certificate = prove_by_widths(delta, Limits(), by_ops=proof == "operation widths")
    assert certificate is not None
    assert certificate.floor > slot_floor(delta, Limits())
    return certificate


@pytest.mark.parametrize("proof", CASES)
def test_a_saved_delta_proves_the_certificate_of_the_packer(proof: str, tmp_path: Path) -> None:
    delta = numbered(*CASES[proof])
    certificate = proven_certificate(proof, delta)
    with duckdb.connect() as db:
        checked = check_saved_packing(db, saved(delta, tmp_path), [certificate])
    assert checked.naive == naive_requests(delta, Limits())
    assert checked.changes == len(delta.cols)
    assert certificate.floor <= checked.proven[0] <= certificate.floor * 1.1 + 1


def test_slots_prove_the_bound_of_the_packer(tmp_path: Path) -> None:
    delta = numbered("attributes", 0.003)
    floor = slot_floor(delta, Limits())
    with duckdb.connect() as db:
        certificate = Certificate(proof="slots", floor=floor)
        assert check_saved_packing(db, saved(delta, tmp_path), [certificate]).proven == (floor,)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"price": 1024}, "impossible"),
        ({"row_ops": 40}, "impossible"),
        ({"proof": "user widths"}, "impossible"),
        ({"proof": "empty"}, "proves nothing"),
        ({"proof": "pairs"}, "proves nothing"),
    ],
)
def test_a_certificate_that_cannot_be_is_an_error(
    change: dict[str, object], problem: str, tmp_path: Path
) -> None:
    delta = numbered("attributes", 0.003)
    certificate = replace(proven_certificate("splits", delta), **change)  # type: ignore[arg-type]
    with duckdb.connect() as db, pytest.raises(SavedPlanError, match=problem):
        check_saved_packing(db, saved(delta, tmp_path), [certificate])


@pytest.mark.parametrize("at_once", [0, 3])
def test_waiting_changes_have_a_certificate_of_their_own(at_once: int, tmp_path: Path) -> None:
    pairs = [(Kind.IDENTITY, f"waits-{n}", "uncertain", "REMOVE", 100.0) for n in range(2)]
    with closing(DuckEngine(tmp_path, threads=1)) as engine:
        engine.load(
            inline("waits-0", "waits-1", *(f"new-{n}" for n in range(at_once))), targets=[0]
        )
        engine.set_recorded(0, recorded_files(tmp_path, [], pairs=pairs), wanted=True)
        engine.diff()
        summary = engine.pack(["A"], counting="strict", settle_seconds=30.0)
        files = replace(EMPTY_FILES, delta=tmp_path / "delta.parquet", requests=summary.requests)
        engine.save(files.delta)
        files = replace(files, settle_from=summary.settle_from)
        checked = engine.check_packing(files, summary.certificates)
    assert checked.proven == (1, 1) if at_once else (1,)
    assert summary.floor == sum(checked.proven) == summary.requests
