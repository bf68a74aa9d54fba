"""Nothing is ever sent that neither the approved plan nor its stated tolerance holds."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segctl.core.errors import BeyondApproval, GuardRefused, StalePlan
from tests.e2e.outside_service import OutsideService, User, running
from tests.e2e.workshop import Workshop, segment
from tests.profiles import examples

NAMES = ("gold", "silver", "bronze")
USERS = [f"u{number}" for number in range(12)]

Members = dict[str, frozenset[str]]
"""The desired users of each declared segment."""

members = st.frozensets(st.sampled_from(USERS))
declared = st.dictionaries(st.sampled_from(NAMES), members, min_size=1)
limits = st.none() | st.integers(min_value=0, max_value=4)


@dataclass(frozen=True, kw_only=True)
class History:
    """What is applied, approved, perhaps applied by others in between, and wanted today."""

    recorded: Members
    approved: Members
    between: Members | None
    today: Members
    percent: int | None
    number: int | None
    labels_today: bool


histories = st.builds(
    History,
    recorded=declared,
    approved=declared,
    between=st.none() | declared,
    today=declared,
    percent=st.none() | st.sampled_from([0, 10, 30, 100]),
    number=limits,
    labels_today=st.sampled_from([False, False, False, True]),
)


def want(shop: Workshop, wanted: Members, *, label: str = "") -> None:
    """Declare these segments, each filled from a file of its own."""
    for name, users in wanted.items():
        shop.write(f"{name}.csv", "".join(f"{user}\n" for user in ("identity", *sorted(users))))
    shop.declare(
        *(
            segment(name, spec=f"members: [{{file: {{path: {name}.csv}}}}]").replace(
                f"{{name: {name}}}", f"{{name: {name}, labels: {{team: '{label}'}}}}"
            )
            for name in wanted
        )
    )


def pairs(wanted: Members, service: OutsideService) -> set[tuple[str, User, str]]:
    """Return what it takes to get from the members that the service has to the wanted ones."""
    result = set()
    for name in NAMES:
        now = service.members(name) if name in service.segments else set()
        then = {("identity", user) for user in wanted.get(name, ())}
        result |= {(name, user, "ADD") for user in then - now}
        result |= {(name, user, "REMOVE") for user in now - then}
    return result


def allowed_beyond(history: History, name: str, size: int) -> int:
    """Return how many changes of a segment with ``size`` members may go beyond."""
    if name not in history.approved:
        return 0
    stated = [] if history.percent is None else [size * history.percent // 100]
    stated += [] if history.number is None else [history.number]
    return min(stated, default=0)


@pytest.mark.timeout(1800)
@settings(
    max_examples=examples(8, torture=150),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=histories)
def test_nothing_is_sent_beyond_the_approved_plan_and_its_tolerance(history: History) -> None:
    with tempfile.TemporaryDirectory() as folder, running() as service:
        root = Path(folder)
        shop = Workshop(root=root / "shop", scratch=root / "scratch", service=service)
        approval = ", ".join(
            f"{name}: {value}"
            for name, value in (
                ("tolerancePercent", history.percent),
                ("toleranceMembers", history.number),
            )
            if value is not None
        )
        shop.project(
            f"{{approval: {{{approval}}}, provider: {{settleSeconds: 0}}, "
            "guards: {maxRemovePercent: 100, allowEmpty: true}}"
        )
        want(shop, history.recorded)
        shop.apply()
        want(shop, history.approved)
        approved = pairs(history.approved, service)
        sizes = {
            name: max(len(history.approved.get(name, ())), len(service.segments[name].members))
            if name in service.segments
            else len(history.approved.get(name, ()))
            for name in NAMES
        }
        existing = set(service.segments)
        digest = shop.keep()
        if history.between is not None:
            want(shop, history.between)
            shop.apply()
        created_since = set(service.segments) - existing
        want(shop, history.today, label="new" if history.labels_today else "")
        wanted = pairs(history.today, service)
        service.forget_requests()
        before = set(service.segments)
        try:
            shop.apply(approved=digest)
            refused = False
        except (BeyondApproval, GuardRefused, StalePlan):
            refused = True
        sent = {(c.segment, c.user, c.action) for c in service.changes}
        beyond = Counter((name, action) for name, _, action in sent - approved)
        for (name, action), count in beyond.items():
            assert count <= allowed_beyond(history, name, sizes[name]), (name, action)
        assert set(service.segments) - before <= set(history.approved) - existing - created_since
        assert not (refused and (sent or service.creates))
        assert refused or sent == wanted
