"""A line with a right checksum and a wrong content is an error that names the line."""

from pathlib import Path
from typing import Any

import pytest

from segctl.backends.journal import Journal
from segctl.core.errors import StateDamaged
from segctl.core.outcomes import Ledger, Outcome, RequestOutcome, fold_records
from tests.backends.journal_kit import journals_in

GOOD: dict[str, Any] = {"type": "sent", "request": 0, "at": 1.0}
OUTCOME: dict[str, Any] = {"type": "outcome", "request": 0, "at": 1.0, "outcome": "acknowledged"}
PAIR: dict[str, Any] = {"target": 0, "kind": "identity", "value": "a", "outcome": "refused"}

WRONG: dict[str, dict[str, Any]] = {
    "no type": {"request": 0},
    "type is no text": {"type": 1},
    "no request": {"type": "sent", "at": 1.0},
    "request is text": {**GOOD, "request": "0"},
    "request is negative": {**GOOD, "request": -1},
    "time is text": {**GOOD, "at": "now"},
    "unknown outcome": {**OUTCOME, "outcome": "perhaps"},
    "targets are no list": {"type": "blocked", "targets": 0},
    "ids are no mapping": {
        "type": "create_outcome",
        "targets": [0],
        "at": 1.0,
        "outcome": "acknowledged",
        "ids": [1],
    },
    "pair without a value": {**OUTCOME, "except": [{**PAIR, "value": None}]},
    "pair of an unknown kind": {**OUTCOME, "except": [{**PAIR, "kind": "email"}]},
}


def journal_with(folder: Path, record: dict[str, Any]) -> Journal:
    source = folder / "source.parquet"
    source.write_bytes(b"changes")
    journal = journals_in(folder / "journal").create(header={}, delta=source)
    journal.append_many([GOOD, record], durable=True)
    journal.close()
    return journal


@pytest.mark.parametrize("record", WRONG.values(), ids=WRONG)
def test_a_record_of_another_form_is_an_error(record: dict[str, Any], tmp_path: Path) -> None:
    journal = journal_with(tmp_path, record)
    with pytest.raises(StateDamaged, match=r"line 2 of log\.jsonl is not a record of an apply"):
        list(journal.records())


@pytest.mark.parametrize(
    "record", [OUTCOME, {**OUTCOME, "except": [PAIR]}, {"type": "of a newer segctl", "x": 1}]
)
def test_records_of_known_forms_and_of_newer_types_are_read(
    record: dict[str, Any], tmp_path: Path
) -> None:
    assert fold_records(journal_with(tmp_path, record).records()).updates.keys() == {0}


def test_outcomes_of_requests_that_a_plan_does_not_have_do_not_fit_it() -> None:
    ledger = Ledger(
        updates={3: RequestOutcome(outcome=Outcome.ACKNOWLEDGED, at=1.0)}, blocked=frozenset([1])
    )
    assert ledger.fits(requests=4, targets=2)
    assert not ledger.fits(requests=3, targets=2)
    assert not ledger.fits(requests=4, targets=1)
