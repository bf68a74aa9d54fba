"""Creating a workspace, and rewriting a manifest."""

import errno
from pathlib import Path

import pytest

from segctl.core.errors import OperationError
from segctl.manifests import workspace
from segctl.manifests.formatter import format_file
from segctl.manifests.workspace import (
    create_workspace,
    initial_files,
    load_workspace,
    replace_manifest,
)


def test_a_new_workspace_has_no_problems(tmp_path: Path) -> None:
    create_workspace(tmp_path)
    loaded = load_workspace(tmp_path, variables={}, environment={})
    assert loaded.diagnostics == ()
    assert loaded.passed_over == ()
    assert loaded.desired is not None
    assert [s.address for s in loaded.desired.segments] == ["segment.gold"]


def test_its_manifests_are_in_canonical_form_and_refer_to_existing_schemas() -> None:
    files = initial_files()
    for file, text in files.items():
        if file.endswith(".yaml"):
            assert format_file(file, text.encode()).text == text
            modeline = text.splitlines()[0]
            assert modeline.startswith("# yaml-language-server: $schema=")
            schema = (Path("/") / file).parent / modeline.split("=")[1]
            assert str(schema.resolve().relative_to("/")) in files


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "segctl.yaml").write_text("mine")
    with pytest.raises(OperationError) as error:
        create_workspace(tmp_path)
    assert error.value.message == "segctl.yaml already exists"
    assert [path.name for path in tmp_path.iterdir()] == ["segctl.yaml"]
    assert (tmp_path / "segctl.yaml").read_text() == "mine"


def test_an_existing_gitignore_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine")
    written = create_workspace(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "mine"
    assert {*written, ".gitignore"} == set(initial_files())


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperationError, match=r"segctl\.yaml cannot be written: Not a directory"):
        create_workspace(tmp_path / "file" / "below")


def test_a_replaced_manifest_keeps_its_mode_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "gold.yaml"
    path.write_text("old")
    path.chmod(0o640)
    replace_manifest(tmp_path, "gold.yaml", "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["gold.yaml"]


def test_a_manifest_is_not_written_through_a_link_that_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".gold.yaml.segctl-new").symlink_to("precious")
    (tmp_path / "gold.yaml").write_text("old")
    replace_manifest(tmp_path, "gold.yaml", "new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "gold.yaml").read_text() == "new"
    assert not (tmp_path / "gold.yaml").is_symlink()


def test_a_disk_that_refuses_every_change_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path, **_options: bool) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / "gold.yaml").write_text("old")
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OperationError, match=r"cannot rewrite gold\.yaml: Read-only") as caught:
        replace_manifest(tmp_path, "gold.yaml", "new")
    assert caught.value.hint == "The file system is mounted read-only. Mount it with write access."


def test_a_missing_manifest_is_not_created_again(tmp_path: Path) -> None:
    with pytest.raises(
        OperationError, match=r"cannot rewrite gold\.yaml: No such file or directory"
    ):
        replace_manifest(tmp_path, "gold.yaml", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_that_cannot_be_finished_is_removed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files() -> dict[str, str]:
        return {"a.yaml": "a", "b.yaml": "b", "a.yaml/c": "c"}

    monkeypatch.setattr(workspace, "initial_files", files)
    with pytest.raises(OperationError, match=r"a\.yaml/c cannot be written: File exists"):
        create_workspace(tmp_path)
    assert list(tmp_path.iterdir()) == []
