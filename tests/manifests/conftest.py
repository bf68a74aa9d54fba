"""Golden texts, which ``SEGCTL_REGENERATE=1`` writes anew, and workspaces of a few lines."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from segctl.manifests.compile import Compiled, compile_files

Golden = Callable[[Path, str], None]
Compile = Callable[..., Compiled]

PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: acme}\n"


@pytest.fixture
def golden() -> Golden:
    """Compare a text with the file that holds what it should be."""

    def compare(path: Path, text: str) -> None:
        if os.environ.get("SEGCTL_REGENERATE"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def compiled() -> Compile:
    """Compile a manifest beside a plain ``segctl.yaml``, or one with a ``spec``."""

    def build(
        manifest: str | bytes = "",
        *,
        spec: str = "{}",
        variables: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Compiled:
        content = manifest.encode() if isinstance(manifest, str) else manifest
        return compile_files(
            {"segctl.yaml": f"{PROJECT}spec: {spec}\n".encode(), "m.yaml": content},
            variables=variables or {},
            environment=environment or {},
        )

    return build
