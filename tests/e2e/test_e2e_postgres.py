"""Segments with members in PostgreSQL, from tables to the service."""

import signal
import time
from collections.abc import Iterator

import pytest

from segctl.core.errors import InvalidInput
from tests.e2e.workshop import PATIENCE, Workshop, findings_of, guids, identities, segment
from tests.sources.postgres_kit import PASSWORD, Server

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.users (email text, device text, tier text, opted_out boolean);
INSERT INTO crm.users VALUES
    ('a@example.com', NULL, 'gold', false), ('b@example.com', '__dev1', 'gold', false),
    ('b@example.com', NULL, 'gold', false), ('c@example.com', NULL, 'silver', true),
    ('', NULL, 'silver', false), (NULL, NULL, 'lead', false);
"""


@pytest.fixture
def warehouse(shop: Workshop, postgres: Server) -> Iterator[Workshop]:
    postgres.run("DROP SCHEMA IF EXISTS crm CASCADE", CRM)
    shop.project("{connections: {warehouse: {env: WAREHOUSE_URL}}}")
    shop.environment["WAREHOUSE_URL"] = postgres.url()
    yield shop
    postgres.run("DROP SCHEMA crm CASCADE")


def source(words: str) -> str:
    return f"postgres: {{connection: warehouse, {words}}}"


def query(sql: str) -> str:
    return source(f'sql: "{sql}"')


def done(shop: Workshop) -> None:
    shop.apply()
    shop.settled()


def test_members_and_exclusions_come_from_the_database(warehouse: Workshop) -> None:
    emails = source("table: crm.users, column: email, onInvalid: skip")
    devices = source("table: crm.users, column: device, kind: guid, onInvalid: skip")
    out = query("SELECT email AS identity FROM crm.users WHERE opted_out")
    spec = f"members:\n  - {emails}\n  - {devices}\nexclude:\n  - {out}\n"
    warehouse.declare(segment("all", spec=spec))
    findings = [finding.summary for finding in findings_of(warehouse.plan())]
    done(warehouse)
    both = identities("a@example.com", "b@example.com") | guids("__dev1")
    assert warehouse.service.members("all") == both
    assert sorted(findings) == [
        "segments.yaml:10:7: the query of warehouse: 1 row, no duplicates",
        "segments.yaml:7:7: crm.users of warehouse: 1 of 6 rows left out as duplicates",
        (
            "segments.yaml:7:7: crm.users of warehouse: 2 of 6 rows left out as invalid: "
            "1 with an empty or blank value, 1 with no value (NULL)"
        ),
        (
            "segments.yaml:8:7: crm.users of warehouse: 5 of 6 rows left out as invalid: "
            "5 with no value (NULL)"
        ),
    ]


def test_a_table_of_the_database_fills_many_segments_and_memberships_add(
    warehouse: Workshop,
) -> None:
    tiers = query("SELECT email AS identity, tier FROM crm.users WHERE email <> ''")
    extra = query("SELECT 'x' AS identity")
    warehouse.declare(
        "apiVersion: segctl/v1\nkind: SegmentTable\nmetadata: {name: tiers}\n"
        f"spec:\n  source: {{{tiers}}}\n  segmentColumn: tier\n"
        "  segments: {gold: {displayName: Gold}, silver: {displayName: Silver}}\n",
        "apiVersion: segctl/v1\nkind: Membership\nmetadata: {name: extra}\nspec:\n"
        f"  segments: [silver]\n  members: [{{{extra}}}]\n",
    )
    done(warehouse)
    assert warehouse.service.members("gold") == identities("a@example.com", "b@example.com")
    assert warehouse.service.members("silver") == identities("c@example.com", "x")


def test_a_database_suppresses_and_intersects_too(warehouse: Workshop) -> None:
    out = query("SELECT email AS identity FROM crm.users WHERE opted_out")
    some = query("SELECT email AS identity FROM crm.users WHERE email > 'a'")
    spec = f"{{connections: {{warehouse: {{env: WAREHOUSE_URL}}}}, suppress: [{{{out}}}]}}"
    warehouse.project(spec)
    members = "members: [{identities: [a@example.com, c@example.com, x@example.com]}]"
    warehouse.declare(segment("gold", spec=f"{members}\nintersect: [{{{some}}}]"))
    done(warehouse)
    assert warehouse.service.members("gold") == identities("a@example.com")


def test_a_query_that_fails_names_its_place_and_its_connection(warehouse: Workshop) -> None:
    wrong = query("SELECT emial AS identity FROM crm.users")
    warehouse.declare(segment("gold", spec=f"members: [{{{wrong}}}]"))
    with pytest.raises(InvalidInput) as caught:
        warehouse.plan()
    assert [str(found) for found in caught.value.diagnostics] == [
        (
            'segments.yaml:6:13: error: connection "warehouse": the query failed: '
            'column "emial" does not exist Perhaps you meant to reference the column "users.email".'
        )
    ]


def test_the_database_url_is_not_shown_even_when_debugging(warehouse: Workshop) -> None:
    warehouse.declare(segment("gold", spec=f"members: [{{{source('table: crm.nope')}}}]"))
    noisy = ("plan", "--log-level", "debug")
    right = warehouse.environment["WAREHOUSE_URL"]
    wrong = right.replace("s3cret", "guessed")
    for url in (right, wrong, f"{wrong}#/?x", wrong[13:]):
        ran = warehouse.run(*noisy, WAREHOUSE_URL=url, SEGCTL_TRACEBACK="1")
        assert ran.code == 1
        secrets = [url, "s3cret", "guessed", PASSWORD, "127.0.0.1:", "owner"]
        assert [secret for secret in secrets if secret in ran.out + ran.err] == []


def test_only_a_plan_that_reads_a_database_needs_its_url(warehouse: Workshop) -> None:
    warehouse.declare(
        segment("gold", spec=f"members: [{{{source('table: crm.users, column: email')}}}]"),
        segment("council", "a@example.com"),
    )
    assert warehouse.run("validate", WAREHOUSE_URL="").code == 0
    assert warehouse.run("plan", "--target", "segment.council", WAREHOUSE_URL="").code == 0
    ran = warehouse.run("plan", WAREHOUSE_URL="")
    assert ran.code == 1
    assert 'connection "warehouse": WAREHOUSE_URL is not set in the environment' in ran.err


def test_rows_read_from_a_database_leave_no_file(warehouse: Workshop) -> None:
    members = query("SELECT 'a' AS identity")
    warehouse.declare(segment("gold", spec=f"members: [{{{members}}}]"))
    assert warehouse.run("plan").code == 0
    assert list(warehouse.scratch.iterdir()) == []


def test_a_signal_during_a_copy_ends_the_query_and_removes_its_files(
    warehouse: Workshop, postgres: Server
) -> None:
    endless = (
        "SELECT repeat('x', 200) || n AS identity "
        "FROM (SELECT generate_series(1, 1000000000) AS n) AS endless"
    )
    warehouse.declare(segment("gold", spec=f"members: [{{{query(endless)}}}]"))
    with warehouse.process("plan") as process:
        while not any(file.stat().st_size > 1e6 for file in warehouse.scratch.rglob("*.copy")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 130
    assert list(warehouse.scratch.iterdir()) == []
    assert postgres.is_quiet()
