"""What nobody notices in review: paths of one machine, recorded addresses, overlong files."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (".ci", ".github", "benchmarks", "docs", "examples", "schemas", "segctl", "tests")
TEXT = frozenset("py md yaml yml toml txt json html css js svg jinja sh in cfg".split())

MACHINE_PATH = re.compile("/" + r"(?:work|root|Users|home/[a-z]+|tmp/tmp\w+)/")
REGISTRY = re.compile(
    r"(?:extra-)?index" + r"-url|find" + r"-links|trusted" + r"-host|--ha" + "sh="
)


MEMBERS_EXAMPLE = (("workflows", ""), ("render", "_view"), ("cli", ""))


def project_files() -> list[Path]:
    """Give the files that people write; what tools leave behind is left out."""
    found = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    for folder in FOLDERS:
        found += (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return [
        path
        for path in found
        if path.suffix[1:] in TEXT or (not path.suffix and not path.name.startswith("."))
    ]


@pytest.mark.parametrize(
    "pattern", [MACHINE_PATH, REGISTRY], ids=["a path of one machine", "a registry's address"]
)
def test_no_file_records(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in project_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


def test_every_link_between_documents_leads_somewhere() -> None:
    links = [
        (path, target)
        for path in project_files()
        if path.suffix == ".md"
        for target in re.findall(
            r"\]\((?!https?:)([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")
        )
    ]
    assert [
        f"{path.relative_to(ROOT)}: {target}"
        for path, target in links
        if not (path.parent / target).exists()
    ] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "AGENTS.md", "docs/architecture.md"])
def test_every_path_that_a_page_for_contributors_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"(?:segctl|tests|docs|schemas|benchmarks)/[\w./]*\w(?=[`/ ,:;)])", text)
    planned = {f"segctl/{place}/members{view}.py" for place, view in MEMBERS_EXAMPLE}
    planned |= {"segctl/sources/mysql.py", "tests/sources/test_sources_mysql.py"}
    assert [name for name in named if not (ROOT / name).exists() and name not in planned] == []


def headings(path: Path) -> set[str]:
    """Give the anchors that a page has for links, as GitHub makes them."""
    text = re.sub(
        r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    titles = re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_to_a_heading_finds_it() -> None:
    links = [
        (path, (path.parent / file) if file else path, anchor)
        for path in project_files()
        if path.suffix == ".md"
        for file, anchor in re.findall(
            r"\]\((?!https?:)([^)#]*)#([^)]+)\)", path.read_text(encoding="utf-8")
        )
    ]
    assert len(links) > 50
    assert [
        f"{path.relative_to(ROOT)}: {anchor}"
        for path, page, anchor in links
        if anchor not in headings(page)
    ] == []


def test_no_module_outgrows_five_hundred_lines() -> None:
    long = [
        str(path.relative_to(ROOT))
        for path in project_files()
        if path.suffix == ".py" and path.read_text(encoding="utf-8").count("\n") > 500
    ]
    assert long == []


def test_constraints_are_plain_pins() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
