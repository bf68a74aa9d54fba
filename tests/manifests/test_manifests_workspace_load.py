"""Reading the files of a workspace, and the problems with the files themselves."""

import os
from pathlib import Path

import pytest

from segctl.manifests.workspace import LoadedWorkspace, create_workspace, load_workspace
from tests.manifests.manifest_kit import PROJECT, segment

GOLD = segment()
LIST_IT = (
    'If the file is not segctl\'s, list it under spec.ignore in segctl.yaml: ignore: ["gold.yaml"].'
)


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


def test_a_folder_without_segctl_yaml_is_not_a_workspace(tmp_path: Path) -> None:
    assert problems(tmp_path) == [
        (
            "segctl.yaml: error: there is no segctl.yaml in this folder. "
            'Run "segctl init" to create a workspace, or name its folder with --chdir.'
        )
    ]


def test_a_folder_that_is_not_a_workspace_has_one_problem(tmp_path: Path) -> None:
    for project in ("one", "other"):
        (tmp_path / project).mkdir()
        (tmp_path / project / "segctl.yaml").write_text("kind: Project")
        (tmp_path / project / "gold.yaml").write_text(GOLD)
    assert [p.split(".")[0] for p in problems(tmp_path)] == ["segctl"]


def test_in_a_subfolder_the_message_names_the_root_of_the_workspace(root: Path) -> None:
    (root / "segments").mkdir()
    assert problems(root / "segments") == [
        (
            "segctl.yaml: error: there is no segctl.yaml in this folder. "
            f"There is one in {root}. Run the command there, or add --chdir {root}."
        )
    ]


def test_a_file_named_segctl_yml_gets_its_own_advice(tmp_path: Path) -> None:
    (tmp_path / "segctl.yml").write_text("kind: Project")
    assert problems(tmp_path) == [
        (
            "segctl.yaml: error: there is no segctl.yaml in this folder. "
            "Rename segctl.yml to segctl.yaml."
        )
    ]


def test_a_missing_folder_is_an_error_with_its_path(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert problems(missing) == [
        (
            f"{missing}: error: cannot be read: No such file or directory. "
            "Check that it exists and that you have permission to read it."
        )
    ]


def test_a_folder_with_the_name_of_a_manifest_is_an_error(root: Path) -> None:
    (root / "gold.yaml").mkdir()
    assert problems(root) == [
        (
            "gold.yaml: error: this has the name of a manifest but is a folder. "
            f"Rename it, or move it out of the workspace. {LIST_IT}"
        )
    ]


def test_a_folder_named_segctl_yaml_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "segctl.yaml").mkdir()
    assert [d.split(":")[0] for d in problems(tmp_path)] == ["segctl.yaml"]


def test_a_pipe_with_the_name_of_a_manifest_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "gold.yaml")
    assert problems(root) == [
        (
            "gold.yaml: error: this has the name of a manifest but is a special file, such as a "
            f"pipe or a device. Rename it, or move it out of the workspace. {LIST_IT}"
        )
    ]


def test_a_file_over_the_size_limit_is_not_read(root: Path) -> None:
    with (root / "gold.yaml").open("wb") as stream:
        stream.truncate(200 << 20)
    assert problems(root) == [
        (
            "gold.yaml: error: the file has 200 MB; the limit for a manifest is 64 MB. "
            "Move the members to a CSV, Parquet or text file and use a file source."
        )
    ]


def test_a_broken_link_is_an_error(root: Path) -> None:
    (root / "gold.yaml").symlink_to("nowhere")
    assert problems(root) == [
        (
            "gold.yaml: error: cannot be read: No such file or directory. "
            "Check that it exists and that you have permission to read it."
        )
    ]


def test_a_link_to_itself_is_an_error(root: Path) -> None:
    (root / "gold.yaml").symlink_to("gold.yaml")
    (problem,) = problems(root)
    assert problem.startswith("gold.yaml: error: ")


@pytest.mark.parametrize("name", ["elsewhere", "gold.yaml"])
def test_a_link_to_a_target_outside_the_workspace_is_not_followed(root: Path, name: str) -> None:
    target = root.parent / "outside"
    target.mkdir()
    (target / "gold.yaml").write_text(GOLD)
    (root / name).symlink_to(target if name == "elsewhere" else target / name)
    assert problems(root) == [
        (
            f"{name}: error: this symbolic link points outside the workspace, so segctl does not "
            "follow it. Copy its target into the workspace. A folder of member files can instead "
            "be listed under spec.allowFolders in segctl.yaml. "
            + LIST_IT.replace("gold.yaml", name)
        )
    ]


@pytest.mark.parametrize("allowed", ["../outside", "data", ".."])
def test_a_link_into_an_allowed_folder_is_valid(root: Path, allowed: str) -> None:
    (root.parent / "outside").mkdir()
    (root / "data").symlink_to("../outside")
    (root / "segctl.yaml").write_text(f"{PROJECT}spec: {{allowFolders: [{allowed}]}}\n")
    result = loaded(root)
    assert result.diagnostics == ()
    assert result.desired is not None
    assert result.desired.project.allowed_folders == (allowed,)


def test_a_link_inside_the_workspace_is_read_if_a_file_and_skipped_if_a_folder(
    root: Path,
) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "gold.txt").write_text(GOLD)
    (root / "gold.yaml").symlink_to("folder/gold.txt")
    (root / "again").symlink_to("folder")
    (root / "folder" / "loop").symlink_to("..")
    assert loaded(root).diagnostics == ()
    assert loaded(root).files == 2


def test_a_file_that_cannot_be_read_does_not_hide_problems_in_other_files(root: Path) -> None:
    (root / "a.yaml").mkdir()
    (root / "b.yaml").write_text(GOLD.replace("Gold", "' '"))
    assert [d.split(":")[0] for d in problems(root)] == ["a.yaml", "b.yaml"]


def test_a_file_name_that_is_not_valid_text_can_be_shown(root: Path) -> None:
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff.yaml"))).mkdir()
    (problem,) = problems(root)
    assert problem.startswith("\\xff.yaml: error: this has the name of a manifest")


def test_the_folder_of_the_state_is_not_searched_for_manifests(tmp_path: Path) -> None:
    create_workspace(tmp_path)
    (tmp_path / "segctl.state.d").mkdir()
    (tmp_path / "segctl.state.d/x.yaml").write_text("kind: Segment", encoding="utf-8")
    assert load_workspace(tmp_path, variables={}, environment={}).diagnostics == ()
