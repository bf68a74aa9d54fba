"""The audiences of this example, computed in Python from the CSV file.

Shares no code with segctl and no SQL with the manifests. The demo and the tests compare the
emulator's members with the result.
"""

import csv
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent
PURCHASES = HERE / "data" / "transactions.csv"
DO_NOT_CONTACT = HERE / "data" / "do-not-contact.txt"

GRID = {
    5: ("new", "potential-loyalists", "potential-loyalists", "champions", "champions"),
    4: ("promising", "potential-loyalists", "potential-loyalists", "loyal", "loyal"),
    3: ("about-to-sleep", "about-to-sleep", "needs-attention", "loyal", "loyal"),
    2: ("hibernating", "hibernating", "at-risk", "cannot-lose", "cannot-lose"),
    1: ("lost", "lost", "at-risk", "cannot-lose", "cannot-lose"),
}
"""The classes by recency (key) and frequency (1 to 5). ``rfm_class`` adds the rules for money."""

RFM_CLASSES = tuple(dict.fromkeys(name for row in GRID.values() for name in row))


@dataclass(frozen=True, kw_only=True)
class Customer:
    """A customer up to some day: last purchase, number of days with purchases, dollars spent."""

    id: str
    last: date
    purchases: int
    money: Decimal


def customers(as_of: date) -> list[Customer]:
    """Return all customers who bought something on or before ``as_of``."""
    days: dict[str, set[date]] = defaultdict(set)
    money: dict[str, Decimal] = defaultdict(Decimal)
    with PURCHASES.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            day = date.fromisoformat(row["date"])
            if day <= as_of:
                days[row["customer_id"]].add(day)
                money[row["customer_id"]] += Decimal(row["amount"])
    return [
        Customer(id=id_, last=max(bought), purchases=len(bought), money=money[id_])
        for id_, bought in days.items()
    ]


def quintiles(values: Iterable[float]) -> list[int]:
    """Score each value from 1 to 5 by the share of smaller values. Equal values score the same."""
    listed = list(values)
    ranked = sorted(listed)
    return [1 + 5 * bisect_left(ranked, value) // len(ranked) for value in listed]


def rfm_class(r: int, f: int, m: int) -> str:
    """Return the class of the three scores, each from 1 to 5."""
    name = GRID[r][f - 1]
    if name == "champions" and m < 4:
        return "loyal"
    if name == "cannot-lose" and m < 5:
        return "at-risk"
    return name


def audiences(as_of: date) -> dict[str, set[str]]:
    """Return the members that each audience should have on that day."""
    known = customers(as_of)
    members: dict[str, set[str]] = {name: set() for name in RFM_CLASSES}
    scores = zip(
        quintiles(c.last.toordinal() for c in known),
        quintiles(c.purchases for c in known),
        quintiles(float(c.money) for c in known),
        strict=True,
    )
    for customer, (r, f, m) in zip(known, scores, strict=True):
        members[rfm_class(r, f, m)].add(customer.id)
    members["one-time-buyers"] = {c.id for c in known if c.purchases == 1}
    sums = sorted((c.money for c in known), reverse=True)
    least = sums[(len(sums) - 1) // 10]
    members["big-spenders"] = {c.id for c in known if c.money >= least}
    members["win-back"] = {
        c.id for c in known if c.purchases > 1 and c.last < as_of - timedelta(days=180)
    } - set(DO_NOT_CONTACT.read_text(encoding="utf-8").split())
    return members
