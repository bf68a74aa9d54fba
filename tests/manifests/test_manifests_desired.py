from collections.abc import Callable

import pytest

from segctl.core.diagnostics import Location
from segctl.core.identity import Kind
from segctl.manifests.compile import Compiled
from segctl.manifests.desired import (
    FileSource,
    Guards,
    InlineSource,
    Lifecycle,
    MemberLoad,
    QuerySource,
    TableLoad,
    Tolerance,
)

Compile = Callable[..., Compiled]

GOLD = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: gold, labels: {team: growth}}
spec:
  displayName: Gold Users
  customerSegmentId: SEG-GOLD
  members:
    - identities: [a@example.com, CT123456]
    - guids: [abcde12345]
    - file: {path: members/gold.csv.gz, column: email}
    - query:
        sql: "select email as identity from 'members/*.parquet' where day = $as_of"
        onInvalid: skip
        maxInvalidPercent: 2.5
  exclude:
    - file: {path: members/opt-outs.txt}
  guards: {maxRemovePercent: 60}
  lifecycle: {preventDestroy: true, onRemove: forget}
"""
VARIABLES = "{variables: {as_of: {default: '1997-12-31'}}}"


def test_a_segment_becomes_what_the_contract_says(compiled: Compile) -> None:
    desired = compiled(GOLD, spec=VARIABLES).desired
    assert desired is not None
    (segment,) = desired.segments
    assert segment.address == "segment.gold"
    assert segment.display_name == "Gold Users"
    assert segment.customer_segment_id == "SEG-GOLD"
    assert segment.labels == {"team": "growth"}
    assert segment.guards == Guards(max_remove_percent=60, from_members=10, allow_empty=False)
    assert segment.lifecycle == Lifecycle(prevent_destroy=True, on_remove="forget")
    assert segment.managed
    assert segment.location == Location(file="m.yaml", line=3, column=18)


def test_sources_keep_their_order_role_and_place(compiled: Compile) -> None:
    desired = compiled(GOLD, spec=VARIABLES).desired
    assert desired is not None
    loads = [load for load in desired.loads if isinstance(load, MemberLoad)]
    assert [load.role for load in loads] == ["include"] * 4 + ["exclude"]
    assert {load.addresses for load in loads} == {("segment.gold",)}
    inline, guids, file, query, opt_outs = (load.source for load in loads)
    assert isinstance(inline, InlineSource)
    assert inline.values == ("a@example.com", "CT123456")
    assert inline.location == Location(file="m.yaml", line=8, column=7)
    assert isinstance(guids, InlineSource)
    assert guids.kind is Kind.GUID
    assert isinstance(file, FileSource)
    assert (file.path, file.format, file.column, file.kind) == (
        "members/gold.csv.gz",
        "csv",
        "email",
        Kind.IDENTITY,
    )
    assert isinstance(query, QuerySource)
    assert query.parameters == {"as_of": "1997-12-31"}
    assert query.tolerance == Tolerance(skip=True, max_invalid_percent=2.5)
    assert isinstance(opt_outs, FileSource)
    assert (opt_outs.format, opt_outs.column) == ("txt", "identity")


def test_a_membership_fills_each_of_its_segments_from_one_source(compiled: Compile) -> None:
    desired = compiled(
        """\
apiVersion: segctl/v1
kind: Membership
metadata: {name: launch}
spec:
  segments: [gold, council]
  members: [{identities: [a@example.com]}]
---
apiVersion: segctl/v1
kind: Segment
metadata: {name: gold}
spec: {displayName: Gold}
---
apiVersion: segctl/v1
kind: Segment
metadata: {name: council}
spec: {displayName: Council, members: []}
"""
    ).desired
    assert desired is not None
    assert [s.address for s in desired.segments] == ["segment.council", "segment.gold"]
    (load,) = desired.loads
    assert isinstance(load, MemberLoad)
    assert load.addresses == ("segment.gold", "segment.council")


def test_a_table_declares_a_segment_for_each_of_its_values(compiled: Compile) -> None:
    desired = compiled(
        """\
apiVersion: segctl/v1
kind: SegmentTable
metadata: {name: rfm}
spec:
  source: {query: {sql: select 1}}
  segmentColumn: segment
  segments:
    champions: {displayName: Champions}
    at-risk: {displayName: At risk, customerSegmentId: RFM-AT-RISK}
  otherValues: ignore
"""
    ).desired
    assert desired is not None
    assert [(s.address, s.customer_segment_id) for s in desired.segments] == [
        ("segment.at-risk", "RFM-AT-RISK"),
        ("segment.champions", "champions"),
    ]
    (load,) = desired.loads
    assert isinstance(load, TableLoad)
    assert (load.name, load.segment_column, load.ignore_other_values) == ("rfm", "segment", True)
    assert load.segments == {"champions": "segment.champions", "at-risk": "segment.at-risk"}


def test_hands_are_kept_off_an_unmanaged_segment(compiled: Compile) -> None:
    desired = compiled(
        "{apiVersion: segctl/v1, kind: Segment, metadata: {name: gold},"
        " spec: {displayName: Gold, members: unmanaged}}"
    ).desired
    assert desired is not None
    assert not desired.segments[0].managed
    assert desired.loads == ()


def test_the_projects_guards_are_every_segments_unless_it_sets_its_own(compiled: Compile) -> None:
    spec = "{guards: {maxRemovePercent: 5, fromMembers: 100, allowEmpty: true, maxDestroys: 1}}"
    desired = compiled(
        "{apiVersion: segctl/v1, kind: Segment, metadata: {name: gold},"
        " spec: {displayName: Gold, guards: {fromMembers: 0}}}",
        spec=spec,
    ).desired
    assert desired is not None
    assert desired.segments[0].guards == Guards(
        max_remove_percent=5, from_members=0, allow_empty=True
    )
    assert desired.project.max_destroys == 1


def test_the_settings_left_out_are_the_contracts_defaults(compiled: Compile) -> None:
    desired = compiled().desired
    assert desired is not None
    project = desired.project
    assert (project.base_url, project.concurrency, project.settle_seconds) == (
        "https://in1.api.clevertap.com",
        3,
        30.0,
    )
    assert (project.max_destroys, project.allowed_folders) == (5, ())
    assert project.retry_after_days is None


def test_refused_members_are_sent_again_after_the_days_of_the_project(compiled: Compile) -> None:
    desired = compiled(spec="{rejects: {retryAfterDays: 1.5}}").desired
    assert desired is not None
    assert desired.project.retry_after_days == 1.5


@pytest.mark.parametrize("region", "in1 sg1 us1 aps3 mec1 eu1".split())
def test_a_region_names_its_host(compiled: Compile, region: str) -> None:
    desired = compiled(spec=f"{{provider: {{region: {region}}}}}").desired
    assert desired is not None
    assert desired.project.base_url == f"https://{region}.api.clevertap.com"


def test_the_environment_overrides_the_region(compiled: Compile) -> None:
    environment = {"CLEVERTAP_BASE_URL": "http://127.0.0.1:8787/"}
    desired = compiled(environment=environment).desired
    assert desired is not None
    assert desired.project.base_url == "http://127.0.0.1:8787"


def test_more_segments_than_an_account_holds_are_refused(compiled: Compile) -> None:
    documents = "---\n".join(
        f"{{apiVersion: segctl/v1, kind: Segment, metadata: {{name: s{i}}},"
        f" spec: {{displayName: S{i}}}}}\n"
        for i in range(2_501)
    )
    assert [str(d) for d in compiled(documents).diagnostics] == [
        (
            "m.yaml:5001:57: error: 2,501 segments are declared; CleverTap allows 2,500 in an "
            "account. This is number 2,501. Remove some."
        )
    ]
