"""Golden texts, rewritten with ``SEGCTL_REGENERATE=1``, and workspaces of a few lines."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from segctl.manifests.compile import CompileResult, compile_files
from tests.manifests.manifest_kit import PROJECT, Compile, Golden


@pytest.fixture
def golden() -> Golden:
    """Compare a text with the file that holds the expected text."""

    def compare(path: Path, text: str) -> None:
        if os.environ.get("SEGCTL_REGENERATE"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def compiled() -> Compile:
    """Compile a manifest ``m.yaml`` with a ``segctl.yaml`` that has the given ``spec``."""

    def build(
        manifest: str | bytes = "",
        *,
        spec: str = "{}",
        variables: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> CompileResult:
        content = manifest.encode() if isinstance(manifest, str) else manifest
        return compile_files(
            {"segctl.yaml": f"{PROJECT}spec: {spec}\n".encode(), "m.yaml": content},
            variables=variables or {},
            environment=environment or {},
        )

    return build
