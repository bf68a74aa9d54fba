"""Patterns match the same files by name alone as in a walk through folders."""

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from segctl.sources.globs import GlobWalker, matches, split_pattern

NAMES = st.sampled_from(
    ["a", "b.csv", "day=1", ".hid", "_tmp", "_SUCCESS", "segctl.state.d", "[x]"]
)
STEPS = st.sampled_from(
    ["**", "*", "a", "?", "*.csv", "day=*", "_*", ".*", "[ab]*", "[[]x]", "**.csv"]
)


@settings(max_examples=60)
@given(
    names=st.sets(st.lists(NAMES, min_size=1, max_size=3).map(tuple), max_size=6),
    steps=st.lists(STEPS, min_size=1, max_size=4),
)
@example(names={("a", "b.csv"), ("b.csv",)}, steps=["**", "b.csv"])
@example(names={("_tmp", "b.csv"), ("a", "_tmp", "b.csv")}, steps=["**", "*.csv"])
def test_a_pattern_matches_exactly_the_names_that_a_walk_finds(
    names: set[tuple[str, ...]], steps: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = set()
        for parts in sorted(names, key=len, reverse=True):
            path = root.joinpath(*parts)
            if any(parent.is_file() for parent in path.parents) or path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            files.add(parts)
        found = walk(root, "/".join(["*", *steps]) if not _wild(steps) else "/".join(steps))
    asked = ["*", *steps] if not _wild(steps) else steps
    start = next(n for n, step in enumerate(asked) if _wild([step]))
    expected = {
        "/".join(parts)
        for parts in files
        if list(parts[:start]) == asked[:start] and matches(parts[start:], asked[start:])
    }
    assert found == expected


def _wild(steps: list[str]) -> bool:
    return any(set(step) & set("*?[") for step in steps)


def walk(root: Path, pattern: str) -> set[str]:
    folder, steps = split_pattern(pattern)
    walker = GlobWalker(enter=lambda name: root / name)
    if (root / folder).is_dir():
        walker.walk(folder, steps)
    return walker.files
