"""Write the page for package indexes when a distribution is built.

An index shows the README without the repository around it, so relative links would break there.
They become links into the repository at the released version. Its address is known only where
CI builds a release; elsewhere a link becomes its text, and a picture its description.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")


def rewrite_links(text: str, *, repository: str, version: str) -> str:
    """Return the README without relative links.

    ``repository`` is the address of the repository, empty if it is not known.
    """

    def rewrite(match: re.Match[str]) -> str:
        image, label, target = match["image"], match["text"], match["target"]
        if target.startswith(("https://", "http://", "#", "mailto:")):
            return match[0]
        if not repository:
            return label
        view = "raw" if image else "blob"
        return f"{image}[{label}]({repository}/{view}/v{version}/{target})"

    return _LINK.sub(rewrite, text)


def repository_address() -> str:
    """Return the address of the repository that CI builds, empty elsewhere."""
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    return f"{server}/{name}" if server and name else ""


def project_urls(repository: str, version: str) -> dict[str, str]:
    """Return the links that an index shows next to the page."""
    if not repository:
        return {}
    return {
        "Source": repository,
        "Documentation": f"{repository}/tree/v{version}/docs",
        "Changelog": f"{repository}/blob/v{version}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }


class PageForIndexes(MetadataHookInterface):
    """Sets ``readme`` and ``urls`` of the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add both to the metadata."""
        root = Path(self.root)
        readme = root / "README.md"
        [version] = re.findall(
            r'^__version__ = "(.+)"$', (root / "segctl/__init__.py").read_text(), re.MULTILINE
        )
        repository = repository_address()
        text = rewrite_links(
            readme.read_text(encoding="utf-8"), repository=repository, version=version
        )
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = project_urls(repository, version)
