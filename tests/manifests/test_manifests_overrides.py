"""Overrides and change freezes in manifests: what is valid, and what each problem says."""

import pytest

from segctl.core.local_time import begin_of
from segctl.manifests.compile import CompileResult, compile_files
from segctl.manifests.limits import Freeze, PlanOverride
from segctl.manifests.override_checks import MAX_DAYS
from tests.manifests.manifest_kit import PROJECT, Compile, desired_state, segment

NOW = begin_of("2026-11-28T07:00", "UTC")
TABLE = """\
apiVersion: segctl/v1
kind: SegmentTable
metadata: {name: tiers}
spec:
  source: {file: {path: t.csv}}
  segmentColumn: tier
  segments: {gold: {displayName: Gold, allow: {ALLOW}}}
"""


def gold(allow: str) -> str:
    return segment(spec=f"displayName: Gold, members: [], allow: {{{allow}}}")


def compiled_now(manifest: str, *, spec: str = "{}", now: float = NOW) -> CompileResult:
    files = {"segctl.yaml": f"{PROJECT}spec: {spec}\n".encode(), "m.yaml": manifest.encode()}
    return compile_files(files, variables={}, environment={}, now=now)


def problems(result: CompileResult) -> list[tuple[str, str]]:
    return [(d.code, d.summary) for d in result.diagnostics]


def test_an_override_ends_with_its_day_in_the_time_zone_of_the_workspace(
    compiled: Compile,
) -> None:
    manifest = gold("removals: 12000, until: 2026-12-01, reason: a new score")
    desired = desired_state(compiled(manifest, spec="{timeZone: Asia/Kolkata}"))
    [declared] = desired.segments
    assert declared.allow
    assert declared.allow.expires_at == begin_of("2026-12-02", "Asia/Kolkata")
    assert (declared.path, str(declared.allow_location)) == ("spec", "m.yaml:1:103")


def test_a_segment_of_a_table_has_its_override_below_its_name(compiled: Compile) -> None:
    allow = "removals: 1, until: 2026-12-01, reason: why"
    [declared] = desired_state(compiled(TABLE.replace("ALLOW", allow))).segments
    assert declared.path == "spec.segments.gold"
    assert declared.allow


def test_the_workspace_has_an_override_and_freezes(compiled: Compile) -> None:
    spec = (
        "{allow: {destroys: 8, freeze: true, until: 2026-12-01T18:00Z, reason: why}, changeFreeze: "
        "[{from: 2026-12-20, to: 2027-01-02}, {days: [sat], daily: 18:00-08:00, reason: rest}]}"
    )
    project = desired_state(compiled(spec=spec)).project
    until = begin_of("2026-12-01T18:00", "UTC")
    assert project.allow == PlanOverride(
        destroys=8, freeze=True, until="2026-12-01T18:00Z", expires_at=until, reason="why"
    )
    assert project.freezes == (
        Freeze(begins_at=begin_of("2026-12-20", "UTC"), ends_at=begin_of("2027-01-03", "UTC")),
        Freeze(days=("sat",), hours="18:00-08:00", reason="rest"),
    )


@pytest.mark.parametrize(
    ("allow", "code"),
    [
        ("removals: 1, reason: why", "missing-field"),
        ("removals: 1, until: 2026-12-01", "missing-field"),
        ("until: 2026-12-01, reason: why", "no-effect"),
        ("empty: false, until: 2026-12-01, reason: why", "no-effect"),
        ('removals: 1, until: 2026-12-01, reason: "..."', "blank"),
        ('removals: 1, until: 2026-12-01, reason: ""', "blank"),
        ("removals: 1, until: soon, reason: why", "wrong-value"),
        ("removals: 1, until: 2026-02-30, reason: why", "wrong-value"),
        ("removals: -1, until: 2026-12-01, reason: why", "out-of-range"),
        ("destroys: 1, until: 2026-12-01, reason: why", "unknown-field"),
    ],
)
def test_an_override_without_limit_end_or_reason_is_an_error(
    compiled: Compile, allow: str, code: str
) -> None:
    assert code in [d.code for d in compiled(gold(allow)).diagnostics]


@pytest.mark.parametrize("table", [False, True])
def test_an_override_that_has_expired_is_a_warning(table: bool) -> None:
    allow = "removals: 1, until: 2026-11-27, reason: why"
    result = compiled_now(TABLE.replace("ALLOW", allow) if table else gold(allow))
    assert problems(result) == [("override-expired", "this override expired (2026-11-27).")]
    assert result.desired
    assert compiled_now(gold(allow.replace("27", "28"))).diagnostics == ()


def test_an_override_for_long_is_an_error() -> None:
    assert compiled_now(gold("removals: 1, until: 2027-02-26, reason: why")).diagnostics == ()
    spec = "{allow: {destroys: 8, until: 2027-03-01, reason: why}}"
    result = compiled_now("", spec=spec)
    assert problems(result) == [
        ("override-too-long", f'"until" is more than {MAX_DAYS} days ahead.')
    ]
    assert result.desired is None


@pytest.mark.parametrize(
    ("freeze", "code"),
    [
        ("from: 2026-12-20", "freeze-form"),
        ("from: 2026-12-20, to: 2026-12-24, days: [sat]", "freeze-form"),
        ("reason: rest", "freeze-form"),
        ("from: 2026-12-20, to: 2026-12-19", "wrong-value"),
        ("days: [saturday]", "wrong-value"),
        ("days: []", "empty"),
        ("days: [mon, tue, wed, thu, fri, sat, sun]", "wrong-value"),
        ("daily: 8-17", "wrong-value"),
        ("daily: 08:00-25:00", "wrong-value"),
        ("daily: 00:00-24:00", "wrong-value"),
    ],
)
def test_a_freeze_that_makes_no_sense_is_an_error(
    compiled: Compile, freeze: str, code: str
) -> None:
    result = compiled(spec=f"{{changeFreeze: [{{{freeze}}}]}}")
    assert [d.code for d in result.diagnostics] == [code]
