"""Write the stored results into ``docs/benchmarks.md``.

    python -m benchmarks.page

The page's text is written by hand.  Between ``<!-- figures: NAME -->`` and ``<!-- end -->``
is the table of that name, followed by what was particular to its run; facts shared by all
results are in the table ``machine``.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks import store, tables
from benchmarks.measuring import ROOT
from benchmarks.store import Document
from benchmarks.suites import SUITES
from benchmarks.tables import Table

PAGE = ROOT / "docs" / "benchmarks.md"
FIGURES = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def figures(folder: Path) -> dict[str, str]:
    """Return the text of each table, by name, from the results in a folder."""
    names = sorted(path.stem for path in folder.glob("*.json"))
    documents = {name: store.load(folder, name) for name in names}
    shared = _shared([document["machine"] for document in documents.values()])
    machine = Table(name="machine", head=["", ""], rows=list(shared.items()), words=2)
    texts = {"machine": str(machine)}
    for name, document in documents.items():
        own = {fact: value for fact, value in document["machine"].items() if fact not in shared}
        if document.get("scale", 1) != 1:
            own["scale"] = f"{document['scale']} of the workloads' size"
        told = ", ".join(f"{fact}: {value}" for fact, value in own.items())
        for table in tables_of(name, document):
            texts[table.name] = f"{table}\n\n{told}".rstrip()
    return texts


def tables_of(name: str, document: Document) -> list[Table]:
    """Return the tables of a results file."""
    if name in SUITES:
        return tables.reconcile(name, document)
    if name == "emulator":
        return tables.emulator(document)
    if name == "emulator_scale":
        return tables.emulator_scale(document)
    single = {
        "apply": tables.applied,
        "composed": tables.composed,
        "packing": tables.packing,
        "startup": tables.startup,
    }
    return [single[name](document)]


def filled(page: str, texts: Mapping[str, str]) -> str:
    """Return the page with these tables filled in."""
    return FIGURES.sub(
        lambda place: f"{place[1]}\n{texts.get(place[2], 'Not measured.')}\n\n{place[3]}", page
    )


def _shared(machines: list[Mapping[str, str]]) -> dict[str, str]:
    first, *others = machines
    return {
        fact: value
        for fact, value in first.items()
        if all(other.get(fact) == value for other in others)
    }


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(filled(page, figures(store.RESULTS)), encoding="utf-8")


if __name__ == "__main__":
    main()
