import os
from pathlib import Path

import pytest

from segctl.manifests.workspace import LoadedWorkspace, create_workspace, load_workspace

PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: acme}\n"
GOLD = "{apiVersion: segctl/v1, kind: Segment, metadata: {name: gold}, spec: {displayName: Gold}}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "segctl.yaml").write_text(PROJECT)
    return folder


def loaded(root: Path) -> LoadedWorkspace:
    return load_workspace(root, variables={}, environment={})


def problems(root: Path) -> list[str]:
    result = loaded(root)
    assert result.desired is None
    return [str(d) for d in result.diagnostics]


def test_manifests_are_found_in_every_folder_and_hidden_ones_are_not(root: Path) -> None:
    for name in ("a/b/gold.yml", ".hidden/x.yaml", "a/.y.yaml", "a/notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(GOLD)
    result = loaded(root)
    assert result.desired is not None
    assert [s.address for s in result.desired.segments] == ["segment.gold"]
    assert result.files == 2


def test_a_folder_without_segctl_yaml_is_no_workspace(tmp_path: Path) -> None:
    assert problems(tmp_path) == [
        (
            "segctl.yaml: error: there is no segctl.yaml in this folder. "
            'Run "segctl init" to begin a workspace, or name its folder with --chdir.'
        )
    ]


def test_of_a_folder_that_is_no_workspace_nothing_else_is_told(tmp_path: Path) -> None:
    for project in ("one", "other"):
        (tmp_path / project).mkdir()
        (tmp_path / project / "segctl.yaml").write_text("kind: Project")
        (tmp_path / project / "gold.yaml").write_text(GOLD)
    assert [p.split(".")[0] for p in problems(tmp_path)] == ["segctl"]


def test_in_a_folder_of_a_workspace_its_root_is_told(root: Path) -> None:
    (root / "segments").mkdir()
    assert problems(root / "segments") == [
        (
            "segctl.yaml: error: there is no segctl.yaml in this folder. "
            f"There is one in {root}: run this there, or name that folder with --chdir."
        )
    ]


def test_a_segctl_yml_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "segctl.yml").write_text("kind: Project")
    assert problems(tmp_path) == [
        ("segctl.yaml: error: there is no segctl.yaml in this folder. Give segctl.yml this name.")
    ]


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert problems(missing) == [
        (
            f"{missing}: error: this cannot be read: No such file or directory. "
            "Check that it exists and that you may read it."
        )
    ]


def test_a_folder_in_place_of_a_manifest_is_a_diagnostic(root: Path) -> None:
    (root / "gold.yaml").mkdir()
    assert problems(root) == [
        (
            "gold.yaml: error: a folder stands where a manifest should. "
            "Give it another name, or move it out of the workspace."
        )
    ]


def test_a_folder_in_place_of_segctl_yaml_is_one_diagnostic(tmp_path: Path) -> None:
    (tmp_path / "segctl.yaml").mkdir()
    assert [d.split(":")[0] for d in problems(tmp_path)] == ["segctl.yaml"]


def test_a_pipe_in_place_of_a_manifest_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "gold.yaml")
    assert problems(root) == [
        (
            "gold.yaml: error: a special file, such as a pipe or a device, stands where a "
            "manifest should. Give it another name, or move it out of the workspace."
        )
    ]


def test_two_hundred_megabytes_are_not_read(root: Path) -> None:
    with (root / "gold.yaml").open("wb") as stream:
        stream.truncate(200 << 20)
    assert problems(root) == [
        (
            "gold.yaml: error: the file has 200 MB; a manifest may have 64. "
            "Put the members into a file source (csv, parquet, txt) instead."
        )
    ]


def test_a_link_to_nothing_is_a_diagnostic(root: Path) -> None:
    (root / "gold.yaml").symlink_to("nowhere")
    assert problems(root) == [
        (
            "gold.yaml: error: this cannot be read: No such file or directory. "
            "Check that it exists and that you may read it."
        )
    ]


def test_a_link_to_itself_is_a_diagnostic(root: Path) -> None:
    (root / "gold.yaml").symlink_to("gold.yaml")
    (diagnostic,) = problems(root)
    assert diagnostic.startswith("gold.yaml: error: ")


@pytest.mark.parametrize("name", ["elsewhere", "gold.yaml"])
def test_a_link_out_of_the_workspace_is_not_followed(root: Path, name: str) -> None:
    target = root.parent / "outside"
    target.mkdir()
    (target / "gold.yaml").write_text(GOLD)
    (root / name).symlink_to(target if name == "elsewhere" else target / name)
    assert problems(root) == [
        (
            f"{name}: error: this symbolic link leads out of the workspace and is not followed. "
            "Copy what it points to; a folder of member files can be listed under "
            "spec.allowFolders in segctl.yaml."
        )
    ]


@pytest.mark.parametrize("allowed", ["../outside", "data", ".."])
def test_a_link_into_an_allowed_folder_is_no_problem(root: Path, allowed: str) -> None:
    (root.parent / "outside").mkdir()
    (root / "data").symlink_to("../outside")
    (root / "segctl.yaml").write_text(f"{PROJECT}spec: {{allowFolders: [{allowed}]}}\n")
    result = loaded(root)
    assert result.diagnostics == ()
    assert result.desired is not None
    assert result.desired.project.allowed_folders == (allowed,)


def test_a_link_inside_of_the_workspace_is_read_as_a_file_and_not_entered_as_a_folder(
    root: Path,
) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "gold.txt").write_text(GOLD)
    (root / "gold.yaml").symlink_to("folder/gold.txt")
    (root / "again").symlink_to("folder")
    (root / "folder" / "loop").symlink_to("..")
    assert loaded(root).diagnostics == ()
    assert loaded(root).files == 2


def test_files_that_are_read_come_with_the_problems_of_those_that_are_not(root: Path) -> None:
    (root / "a.yaml").mkdir()
    (root / "b.yaml").write_text(GOLD.replace("Gold", "' '"))
    assert [d.split(":")[0] for d in problems(root)] == ["a.yaml", "b.yaml"]


def test_a_name_that_is_not_text_can_be_shown(root: Path) -> None:
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff.yaml"))).mkdir()
    (diagnostic,) = problems(root)
    assert diagnostic.startswith("\\xff.yaml: error: a folder")


def test_the_state_is_not_searched_for_manifests(tmp_path: Path) -> None:
    create_workspace(tmp_path)
    (tmp_path / "segctl.state.d").mkdir()
    (tmp_path / "segctl.state.d/x.yaml").write_text("kind: Segment", encoding="utf-8")
    assert load_workspace(tmp_path, variables={}, environment={}).diagnostics == ()
