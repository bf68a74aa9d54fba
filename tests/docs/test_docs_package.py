"""What is published: the wheel and its page on an index, the workflows, the image."""

import importlib.util
import re
import subprocess
import sys
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
import yaml

from segctl import __version__

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://forge.example/team/segctl"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\(([^()\s]+)\)")


def build_wheel(folder: Path, **environment: str) -> zipfile.ZipFile:
    """Build the wheel from the tree, without an index."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return zipfile.ZipFile(wheel)


def metadata_of(wheel: zipfile.ZipFile) -> Message:
    """Return the metadata of a wheel. Its payload is the page."""
    [name] = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    return message_from_string(wheel.read(name).decode())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as anyone builds it from a checkout."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_has_its_licence(wheel: zipfile.ZipFile) -> None:
    [licence] = [n for n in wheel.namelist() if n.endswith("/licenses/LICENSE")]
    assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert metadata_of(wheel)["License-Expression"] == "Apache-2.0"


def test_the_page_of_an_index_has_no_relative_link(wheel: zipfile.ZipFile) -> None:
    metadata = metadata_of(wheel)
    links = LINK.findall(str(metadata.get_payload()))
    assert [link for link in links if not link.startswith(("https://", "http://127.", "#"))] == []
    assert metadata.get_all("Project-URL") is None


def test_a_release_links_to_the_files_of_its_version(tmp_path: Path) -> None:
    server, _, name = REPOSITORY.partition("/team")
    wheel = build_wheel(tmp_path, GITHUB_SERVER_URL=server, GITHUB_REPOSITORY=f"team{name}")
    page = str(metadata_of(wheel).get_payload())
    views = re.findall(rf"\]\({REPOSITORY}/(blob|raw)/v{__version__}/([^)#]+)", page)
    assert len(views) > 15
    assert [path for _, path in views if not (ROOT / path).exists()] == []
    assert ("raw", "docs/images/plan-comment.png") in views
    assert any(REPOSITORY in url for url in metadata_of(wheel).get_all("Project-URL", []))


def test_the_links_of_the_readme_point_to_files() -> None:
    relative = [link for link in LINK.findall(README) if not link.startswith(("http", "#"))]
    assert len(relative) > 15
    assert [link for link in relative if not (ROOT / link.partition("#")[0]).exists()] == []


def test_the_readme_begins_with_the_picture_and_the_two_commands() -> None:
    lines = README.splitlines()
    assert any("docs/images/plan-comment.png" in line for line in lines[:10])
    assert [line.split("#")[0].strip() for line in lines[9:14]][1:3] == ["make demo", "make test"]
    assert (ROOT / "docs/images/plan-comment.png").stat().st_size < 150_000


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflows_pin_actions_and_permissions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    used = re.findall(r"uses: (.*)", text)
    assert used
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use) for use in used)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    assert "secrets." not in text


def test_only_publishing_may_ask_for_an_identity() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"] == "pypi"


def test_every_version_of_python_in_the_metadata_is_tested(wheel: zipfile.ZipFile) -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]
    named = [c.rpartition(" ")[2] for c in metadata_of(wheel).get_all("Classifier", [])]
    versions = [name for name in named if re.fullmatch(r"3\.\d+", name)]
    assert versions == jobs["test"]["strategy"]["matrix"]["python"]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.emulator"])
def test_the_image_runs_as_a_user_without_rights_and_copies_only_what_it_needs(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted([*allowed, "--from=build", "/opt/segctl"])
    assert "USER segctl" in lines


def test_links_without_a_repository_become_their_text() -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = "![Picture](a.png) [`x`](docs/x.md#y) [site](https://x.example) [here](#there)"
    assert module.rewrite_links(text, repository="", version="1") == (
        "Picture `x` [site](https://x.example) [here](#there)"
    )
