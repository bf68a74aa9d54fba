"""What manifests become in the desired state."""

import pytest

from segctl.core.diagnostics import Location
from segctl.core.identity import Kind
from segctl.manifests.desired import (
    FileSource,
    InlineSource,
    Lifecycle,
    MemberLoad,
    QuerySource,
    TableLoad,
    Tolerance,
)
from segctl.manifests.limits import Guards
from tests.manifests.manifest_kit import Compile, desired_state, messages, segment

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


def test_a_segment_has_the_settings_of_its_manifest(compiled: Compile) -> None:
    desired = desired_state(compiled(GOLD, spec=VARIABLES))
    (gold,) = desired.segments
    assert gold.address == "segment.gold"
    assert gold.display_name == "Gold Users"
    assert gold.customer_segment_id == "SEG-GOLD"
    assert gold.labels == {"team": "growth"}
    assert gold.guards == Guards(max_remove_percent=60, from_members=10, allow_empty=False)
    assert gold.lifecycle == Lifecycle(prevent_destroy=True, on_remove="forget")
    assert gold.managed
    assert gold.location == Location(file="m.yaml", line=3, column=18)


def test_sources_keep_their_order_role_and_location(compiled: Compile) -> None:
    desired = desired_state(compiled(GOLD, spec=VARIABLES))
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


def test_a_membership_adds_one_source_to_each_of_its_segments(compiled: Compile) -> None:
    desired = desired_state(
        compiled(
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
        )
    )
    assert [s.address for s in desired.segments] == ["segment.council", "segment.gold"]
    (load,) = desired.loads
    assert isinstance(load, MemberLoad)
    assert load.addresses == ("segment.gold", "segment.council")


def test_a_table_declares_a_segment_for_each_listed_value(compiled: Compile) -> None:
    desired = desired_state(
        compiled(
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
        )
    )
    assert [(s.address, s.customer_segment_id) for s in desired.segments] == [
        ("segment.at-risk", "RFM-AT-RISK"),
        ("segment.champions", "champions"),
    ]
    (load,) = desired.loads
    assert isinstance(load, TableLoad)
    assert (load.name, load.segment_column, load.ignore_other_values) == ("rfm", "segment", True)
    assert load.segments == {"champions": "segment.champions", "at-risk": "segment.at-risk"}


def test_an_unmanaged_segment_has_no_loads(compiled: Compile) -> None:
    manifest = segment(spec="displayName: Gold, members: unmanaged")
    desired = desired_state(compiled(manifest))
    assert not desired.segments[0].managed
    assert desired.loads == ()


def test_guards_of_the_project_apply_unless_a_segment_sets_its_own(compiled: Compile) -> None:
    spec = "{guards: {maxRemovePercent: 5, fromMembers: 100, allowEmpty: true, maxDestroys: 1}}"
    desired = desired_state(
        compiled(segment(spec="displayName: Gold, guards: {fromMembers: 0}"), spec=spec)
    )
    assert desired.segments[0].guards == Guards(
        max_remove_percent=5, from_members=0, allow_empty=True
    )
    assert desired.project.max_destroys == 1


def test_omitted_settings_have_their_defaults(compiled: Compile) -> None:
    desired = desired_state(compiled())
    project = desired.project
    assert (project.base_url, project.concurrency, project.settle_seconds) == (
        "https://in1.api.clevertap.com",
        3,
        30.0,
    )
    assert (project.max_destroys, project.allowed_folders) == (5, ())
    assert project.retry_after_days is None


def test_refused_members_are_retried_after_the_days_of_the_project(compiled: Compile) -> None:
    desired = desired_state(compiled(spec="{rejects: {retryAfterDays: 1.5}}"))
    assert desired.project.retry_after_days == 1.5


@pytest.mark.parametrize("region", "in1 sg1 us1 aps3 mec1 eu1".split())
def test_a_region_selects_its_host(compiled: Compile, region: str) -> None:
    desired = desired_state(compiled(spec=f"{{provider: {{region: {region}}}}}"))
    assert desired.project.base_url == f"https://{region}.api.clevertap.com"


def test_the_environment_overrides_the_region(compiled: Compile) -> None:
    environment = {"CLEVERTAP_BASE_URL": "http://127.0.0.1:8787/"}
    desired = desired_state(compiled(environment=environment))
    assert desired.project.base_url == "http://127.0.0.1:8787"


def test_more_segments_than_an_account_may_have_are_an_error(compiled: Compile) -> None:
    documents = "---\n".join(segment(f"s{i}", f"displayName: S{i}") for i in range(2_501))
    assert messages(compiled(documents)) == [
        (
            "m.yaml:5001:57: error: 2,501 segments are declared; CleverTap allows 2,500 in an "
            "account. This is number 2,501. Remove some segments."
        )
    ]
