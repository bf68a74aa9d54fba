"""What no source may read, and what no message shows."""

from pathlib import Path

import pytest

from segctl.engine.model import SourceError
from segctl.engine.source_errors import join_names, no_member_column
from segctl.sources.globs import matches
from segctl.sources.path_policy import PathPolicy

PRIVATE = (
    "segctl.state.json",
    "segctl.state.d/members/a.parquet",
    "segctl.state.json.1.tmp",
    ".git/config",
    "Segctl.State.D/x.csv",
    "link.csv",
    "folder/members/a.parquet",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in PRIVATE[:5]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("identity\na\n")
    (tmp_path / "link.csv").symlink_to("segctl.state.json")
    (tmp_path / "folder").symlink_to("segctl.state.d")
    return tmp_path


@pytest.mark.parametrize("path", PRIVATE)
def test_no_source_reads_the_state_or_git(path: str, root: Path) -> None:
    with pytest.raises(SourceError, match="which no source may read"):
        PathPolicy(root=root, allowed=("/",)).locate(path)


@pytest.mark.parametrize("pattern", ["segctl.state.d/**", "folder/*/*.parquet", ".git/*"])
def test_no_pattern_reaches_the_state_or_git(pattern: str, root: Path) -> None:
    with pytest.raises(SourceError, match="which no source may read"):
        PathPolicy(root=root).find(pattern)


@pytest.mark.parametrize("name", ["ann@example.com", "15550100", "a" * 60, "x\x1b[2J", "=1+1"])
def test_a_column_that_may_be_a_value_is_masked(name: str) -> None:
    assert name not in join_names([name])
    assert name not in no_member_column([name]).detail


@pytest.mark.parametrize("name", ["email", "Customer ID", "user_id", "e-mail", "größe"])
def test_a_plain_column_name_is_shown(name: str) -> None:
    assert join_names([name]) == name


def test_a_pattern_of_many_stars_is_matched_in_few_steps() -> None:
    names = ["a"] * 60
    assert not matches(names, ["**", "*"] * 12 + ["b"])
    assert not matches(["a" * 5000], ["*a" * 30 + "b"])


def test_many_folders_are_walked_once_for_each_part(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    for _ in range(14):
        folder /= "a"
    folder.mkdir(parents=True)
    (folder / "x.csv").write_text("identity\na\n")
    assert len(PathPolicy(root=tmp_path).find("d/" + "**/*/" * 5 + "**/*.csv")) == 1
