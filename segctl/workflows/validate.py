"""The workspace's files: create them, read them, check them, rewrite them."""

from collections.abc import Mapping
from pathlib import Path

from segctl.core.errors import InvalidInput
from segctl.manifests import workspace
from segctl.manifests.desired import DesiredState
from segctl.session.context import Context


def create_workspace(folder: Path) -> tuple[str, ...]:
    """Make a workspace that plans cleanly; give the files written.

    Raises ``OperationError`` where one of them is there already.
    """
    return workspace.create_workspace(folder)


def validate_workspace(
    context: Context, *, variables: Mapping[str, str]
) -> workspace.LoadedWorkspace:
    """Read and check the workspace."""
    return workspace.load_workspace(
        context.root, variables=variables, environment=context.environment
    )


def read_manifests(context: Context) -> workspace.ManifestFiles:
    """Read the text of every manifest of the workspace."""
    return workspace.read_manifests(context.root)


def rewrite_manifest(context: Context, file: str, text: str) -> None:
    """Put ``text`` in place of a manifest; raises ``OperationError``."""
    workspace.replace_manifest(context.root, file, text)


def load_desired(context: Context, variables: Mapping[str, str]) -> DesiredState:
    """Compile the workspace; raises ``InvalidInput``."""
    loaded = workspace.load_workspace(
        context.root, variables=variables, environment=context.environment
    )
    if loaded.desired is None:
        raise InvalidInput(loaded.diagnostics)
    return loaded.desired
