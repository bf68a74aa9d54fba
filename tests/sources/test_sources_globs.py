"""Which files a path or a pattern means."""

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segctl.engine.model import SourceError
from segctl.sources.globs import is_pattern
from segctl.sources.path_policy import PathPolicy

FILES = (
    "a.csv",
    "b.csv",
    "b.txt",
    "m/a.csv",
    "m/n/a.csv",
    "m/n/o/a.csv",
    "m/n/.hidden.csv",
    "m/_SUCCESS",
    "m/_temporary/a.csv",
    "m/.git/a.csv",
    "segctl.state.d/members/a.csv",
    "day=1/a.csv",
    "_day=2/a.csv",
    "[x].csv",
    "what?.csv",
)


@pytest.fixture
def tree(root: Path) -> Path:
    for file in FILES:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("identity\na\n")
    return root


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("a.csv", ["a.csv"]),
        ("./m//a.csv", ["./m//a.csv"]),
        ("?.csv", ["a.csv", "b.csv"]),
        ("[!a].csv", ["b.csv"]),
        ("[x].csv", ["[x].csv"]),
        ("what?.csv", ["what?.csv"]),
        ("*.txt", ["b.txt"]),
        ("m/*", ["m/a.csv"]),
        ("m/*/*.csv", ["m/n/a.csv"]),
        ("m/**/a.csv", ["m/a.csv", "m/n/a.csv", "m/n/o/a.csv"]),
        ("m/**/n/**/*.csv", ["m/n/a.csv", "m/n/o/a.csv"]),
        ("m/**", ["m/a.csv", "m/n/a.csv", "m/n/o/a.csv"]),
        ("m", ["m/a.csv", "m/n/a.csv", "m/n/o/a.csv"]),
        ("m/n/", ["m/n/a.csv", "m/n/o/a.csv"]),
        ("m/n/.h*", ["m/n/.hidden.csv"]),
        ("m/_*/a.csv", ["m/_temporary/a.csv"]),
        ("*/n/a.csv", ["m/n/a.csv"]),
        ("*day=*/a.csv", ["_day=2/a.csv", "day=1/a.csv"]),
    ],
)
def test_a_path_means_these_files(tree: Path, path: str, files: list[str]) -> None:
    assert list(PathPolicy(root=tree).find(path)) == files


def test_the_state_folder_is_never_read_as_members(tree: Path) -> None:
    found = PathPolicy(root=tree).find("**/*.csv")
    assert len(found) == 9
    assert not [file for file in found if "segctl.state.d" in file]


@pytest.mark.parametrize(
    ("path", "summary", "detail"),
    [
        (
            "m/*.tsv",
            "no file matches m/*.tsv",
            (
                "Paths are relative to the workspace root. "
                "Names that begin with a dot or an underscore are skipped."
            ),
        ),
        (
            "m*/",
            "no file matches m*/",
            "A pattern that ends in / matches folders only. End it in file names, as in /*.csv.",
        ),
        ("gone/*.csv", "no file matches gone/*.csv", "There is no folder gone."),
        ("a.csv/*.csv", "no file matches a.csv/*.csv", "There is no folder a.csv."),
        (
            "*/../../x.csv",
            "*/../../x.csv has `..` after a wildcard, which could leave the workspace",
            "Write `..` only before the first wildcard.",
        ),
        (
            "../*.csv",
            ".. is outside the workspace",
            "Move it inside, or add its folder to spec.allowFolders in segctl.yaml.",
        ),
        (
            "/*.csv",
            "/ is outside the workspace",
            "Move it inside, or add its folder to spec.allowFolders in segctl.yaml.",
        ),
        ("a\0*", "the path is empty or contains a NUL character", "Write the path of a file."),
    ],
)
def test_a_pattern_without_files_is_an_error(
    tree: Path, path: str, summary: str, detail: str
) -> None:
    with pytest.raises(SourceError) as caught:
        PathPolicy(root=tree).find(path)
    assert (caught.value.summary, caught.value.detail) == (summary, detail)


def test_a_folder_without_files_is_an_error(root: Path) -> None:
    (root / "empty").mkdir()
    (root / "empty/_SUCCESS").touch()
    with pytest.raises(SourceError) as caught:
        PathPolicy(root=root).find("empty/")
    assert caught.value.summary == "the folder empty/ contains no files"


def test_a_folder_with_the_name_of_a_member_file_is_an_error(tree: Path) -> None:
    (tree / "x.csv").mkdir()
    (tree / "x.csv/part-0.csv").write_text("identity\na\n")
    with pytest.raises(SourceError) as caught:
        PathPolicy(root=tree).find("*.csv")
    assert (caught.value.summary, caught.value.detail) == (
        "x.csv is a folder",
        "Write *.csv/* for the files in it, or a pattern that does not match it.",
    )
    assert PathPolicy(root=tree).find("*.csv/*") == ("x.csv/part-0.csv",)
    assert PathPolicy(root=tree).find("x.csv") == ("x.csv/part-0.csv",)


def test_a_link_to_the_outside_is_an_error_at_any_depth(tree: Path) -> None:
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("identity\na\n")
    (tree / "m/out").symlink_to(outside)
    for path in ("m/", "m/*/*.csv", "**/*.csv", "m/out/*.csv"):
        with pytest.raises(SourceError) as caught:
            PathPolicy(root=tree).find(path)
        assert caught.value.summary == "m/out is outside the workspace"
    assert PathPolicy(root=tree, allowed=("../outside",)).find("m/out/") == ("m/out/secret.csv",)


def test_a_link_to_a_folder_inside_is_followed_once(tree: Path) -> None:
    (tree / "m/n/up").symlink_to(tree / "m")
    (tree / "p").symlink_to(tree / "m/n/o")
    found = PathPolicy(root=tree).find("m/n")
    assert found == ("m/n/a.csv", "m/n/o/a.csv", "m/n/up/a.csv")
    assert PathPolicy(root=tree).find("p/*.csv") == ("p/a.csv",)


def test_a_linked_file_keeps_the_name_of_its_link(tree: Path) -> None:
    (tree / "today.csv").symlink_to(tree / "a.csv")
    assert PathPolicy(root=tree).locate("today.csv") == tree.resolve() / "today.csv"
    assert PathPolicy(root=tree).locate("m/../a.csv") == tree.resolve() / "a.csv"


def locate_all(policy: PathPolicy, path: str) -> list[Path]:
    return [policy.locate(name) for name in policy.find(path)]


def test_a_match_that_is_not_a_regular_file_is_an_error(tree: Path) -> None:
    os.mkfifo(tree / "m/pipe.csv")
    (tree / "m/gone.csv").symlink_to(tree / "nothing")
    for name, message in (
        ("pipe", "m/pipe.csv is not a regular file"),
        ("gone", "there is no file"),
    ):
        with pytest.raises(SourceError, match=message):
            locate_all(PathPolicy(root=tree), f"m/{name}*.csv")


def test_a_name_that_is_not_utf8_is_an_error(root: Path) -> None:
    (Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.csv"))).write_text("identity\na\n")
    with pytest.raises(SourceError) as caught:
        locate_all(PathPolicy(root=root), "*.csv")
    assert caught.value.summary == "the file name caf\\xe9.csv is not UTF-8"


def test_a_folder_that_cannot_be_listed_is_an_error(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(SourceError) as caught:
        PathPolicy(root=tree).find("m/**/*.csv")
    assert caught.value.summary == "m: permission denied"


LAW = ("a/b", "b/a/b", "a/a/a", "b/b/a", "c")


@given(st.lists(st.sampled_from(["a", "b", "*", "?", "**", "[ab]", "*b"]), min_size=1, max_size=4))
def test_a_pattern_means_the_files_of_pathlib_each_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    root = tmp_path_factory.getbasetemp() / "law"
    for path in LAW:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    assume(is_pattern("".join(steps)))
    # In Python 3.11, pathlib returns only folders for a trailing **.
    like = "/".join([*steps, *(["*"] if steps[-1] == "**" else [])])
    expected = {p.relative_to(root).as_posix() for p in root.glob(like) if p.is_file()}
    if expected:
        assert list(PathPolicy(root=root).find("/".join(steps))) == sorted(expected)
    else:
        with pytest.raises(SourceError, match="no file matches"):
            PathPolicy(root=root).find("/".join(steps))
