"""``spec.ignore`` hides files of other tools, and is told when it hides nothing."""

import os
from pathlib import Path

import pytest

from segctl.core.diagnostics import Severity
from segctl.manifests.desired import IgnoredPath
from segctl.manifests.ignored_files import find_ignored_manifests
from segctl.manifests.manifest_files import read_manifests
from segctl.manifests.workspace import LoadedWorkspace, load_workspace
from tests.manifests.manifest_kit import PROJECT, segment

BROKEN = "{{ if }}: ["


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


def load(root: Path, ignore: str, *broken: str) -> LoadedWorkspace:
    """Load a workspace with these patterns, and with files that are no YAML."""
    (root / "segctl.yaml").write_text(f"{PROJECT}spec: {{ignore: {ignore}}}\n")
    for name in broken:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(BROKEN)
    return load_workspace(root, variables={}, environment={})


def codes(loaded: LoadedWorkspace) -> list[str]:
    return [f"{d.severity} {d.code}" for d in loaded.diagnostics]


@pytest.mark.parametrize(
    ("ignore", "ignored"),
    [
        ("[charts/]", ["charts/"]),
        ("['*.yaml']", ["charts/x/a.yaml"]),
        ("[/charts/x/a.yaml]", ["charts/x/a.yaml"]),
        ("['charts/**']", ["charts/x/"]),
        ("['*/x']", ["charts/x/"]),
    ],
)
def test_what_a_pattern_hides_is_not_read_and_listed(
    root: Path, ignore: str, ignored: list[str]
) -> None:
    loaded = load(root, ignore, "charts/x/a.yaml")
    assert (codes(loaded), [i.path for i in loaded.ignored]) == ([], ignored)
    assert loaded.desired
    assert loaded.desired.ignored == loaded.ignored


def test_the_last_pattern_that_matches_decides(root: Path) -> None:
    loaded = load(root, "['*.yaml', '!gold.yaml']", "a.yaml")
    (root / "gold.yaml").write_text(segment())
    loaded = load(root, "['*.yaml', '!gold.yaml']")
    assert [i.pattern for i in loaded.ignored] == ["*.yaml"]
    assert loaded.desired
    assert len(loaded.desired.segments) == 1


def test_a_pattern_for_what_is_in_a_folder_leaves_exceptions(root: Path) -> None:
    (root / "charts").mkdir()
    (root / "charts/gold.yaml").write_text(segment())
    loaded = load(root, "['charts/**', '!charts/gold.yaml']", "charts/a.yaml")
    assert [i.path for i in loaded.ignored] == ["charts/a.yaml"]
    assert loaded.desired
    assert len(loaded.desired.segments) == 1


def test_what_is_ignored_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "pipe.yaml")
    os.mkfifo(root / "pipe.json")
    (root / "loop.yaml").symlink_to("loop.yaml")
    assert codes(load(root, "[pipe.*, loop.yaml]")) == []


@pytest.mark.parametrize("pattern", ["bazel-*", "bazel-out/", "bazel-out"])
def test_a_link_that_leads_out_of_the_workspace_can_be_ignored(root: Path, pattern: str) -> None:
    (root / "bazel-out").symlink_to(root.parent)
    assert codes(load(root, "[]")) == ["error link-out"]
    assert codes(load(root, f"['{pattern}']")) == []


def test_a_pattern_that_hides_nothing_is_reported(root: Path) -> None:
    loaded = load(root, "[charts/, templates/]", "charts/a.yaml")
    [problem] = loaded.diagnostics
    assert problem.severity is Severity.WARNING
    assert problem.summary == 'the pattern "templates/" hides no file or folder.'
    assert str(problem.location) == "segctl.yaml:4:26"


@pytest.mark.parametrize(
    ("ignore", "code"),
    [
        ("['!']", "error bad-pattern"),
        ("['# a']", "error bad-pattern"),
        ("['*a*a*a*a*b']", "error bad-pattern"),
        ("['${var.x}/']", "error variable-not-allowed"),
        ("['a', '']", "error blank"),
        ("a", "error wrong-type"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_an_error(root: Path, ignore: str, code: str) -> None:
    loaded = load(root, ignore)
    assert loaded.desired is None
    assert code in codes(loaded)


def test_the_project_is_never_ignored(root: Path) -> None:
    assert load(root, "['*', '*.yaml']").desired is not None


def test_an_error_in_a_file_of_others_names_the_way_to_ignore_it(root: Path) -> None:
    [problem] = load(root, "[]", "charts/[x].yaml").diagnostics
    assert problem.detail.endswith(
        "If the file is not segctl's, list it under spec.ignore in segctl.yaml: "
        'ignore: ["charts/\\\\[x].yaml"].'
    )
    assert codes(load(root, '["charts/\\\\[x].yaml"]')) == []


def test_an_error_in_a_manifest_does_not(root: Path) -> None:
    (root / "gold.yaml").write_text("apiVersion: segctl/v1\nkind: [\n")
    [problem] = load(root, "[]").diagnostics
    assert "spec.ignore" not in problem.detail


def test_fmt_leaves_alone_what_is_ignored(root: Path) -> None:
    load(root, "[charts/]", "charts/a.yaml")
    assert list(read_manifests(root).contents) == ["segctl.yaml"]


IGNORED = {
    "segment": segment("gold"),
    "second document": f"a: 1\n---\n{segment('gold')}",
    "table": (
        "apiVersion: segctl/v1\nkind: SegmentTable\nspec: {segments: {gold: {displayName: G}}}\n"
    ),
    "template": f"{{{{ if .Values.x }}}}\n{segment('gold')}",
}


@pytest.mark.parametrize("text", IGNORED.values(), ids=IGNORED)
def test_an_ignored_manifest_is_found_by_the_segment_it_declares(root: Path, text: str) -> None:
    (root / "charts/x").mkdir(parents=True)
    (root / "charts/x/gold.yaml").write_text(text)
    ignored = [IgnoredPath(path="charts/", pattern="charts/")]
    assert find_ignored_manifests(root, ignored, {"segment.gold", "segment.other"}) == {
        "segment.gold": IgnoredPath(path="charts/x/gold.yaml", pattern="charts/")
    }


def test_an_ignored_file_that_cannot_be_read_declares_nothing(root: Path) -> None:
    os.mkfifo(root / "pipe.yaml")
    (root / "out.yaml").symlink_to(root.parent / "gold.yaml")
    (root.parent / "gold.yaml").write_text(segment("gold"))
    (root / "loop").symlink_to("loop")
    ignored = [IgnoredPath(path=p, pattern="*") for p in ("pipe.yaml", "out.yaml", "loop", "gone/")]
    assert find_ignored_manifests(root, ignored, {"segment.gold"}) == {}


def test_an_ignored_folder_whose_name_is_no_text_is_looked_into(root: Path) -> None:
    folder = root / os.fsdecode(b"old\xff")
    folder.mkdir()
    (folder / "gold.yaml").write_text(segment("gold"))
    ignored = load(root, '["old*"]').ignored
    assert find_ignored_manifests(root, ignored, {"segment.gold"}) == {
        "segment.gold": IgnoredPath(path="old\\xff/gold.yaml", pattern="old*")
    }
