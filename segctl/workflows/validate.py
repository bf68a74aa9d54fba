"""Create, read, check and rewrite the files of a workspace."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from segctl.core.ci import is_pull_request
from segctl.core.diagnostics import Diagnostic, Severity
from segctl.core.errors import InvalidInput
from segctl.manifests import manifest_files, named_files, workspace
from segctl.manifests.compile import sort_diagnostics
from segctl.manifests.desired import DesiredState
from segctl.manifests.named_files import NamedFiles
from segctl.manifests.trust import NOT_TRUSTED
from segctl.session.context import Context
from segctl.session.known_state import read_known_states
from segctl.session.trusted_copy import find_trusted_copy


def create_workspace(folder: Path) -> tuple[str, ...]:
    """Create a workspace that plans cleanly. Return the files written.

    Raises ``OperationError`` if one of them exists.
    """
    return workspace.create_workspace(folder)


def validate_workspace(
    context: Context, *, variables: Mapping[str, str], offline: bool = False
) -> workspace.LoadedWorkspace:
    """Read and check the workspace, in every environment if none is chosen.

    Unless ``offline``, parse the queries, and look whether files and columns are there. Raises
    ``OperationError`` for a bad trusted copy.
    """
    loaded = _with_lock_file(context, _load(context, variables))
    if context.env_name or not loaded.environments:
        return loaded if offline else _with_sources(context, [loaded])[0]
    each = [
        _with_lock_file(context, _load(replace(context, env_name=name), variables))
        for name in loaded.environments
    ]
    if not offline:
        each = _with_sources(context, each)
    broken = next((one for one in each if one.desired is None), each[0])
    diagnostics = [diagnostic for one in each for diagnostic in one.diagnostics]
    return replace(broken, diagnostics=sort_diagnostics(diagnostics))


def _with_sources(
    context: Context, each: list[workspace.LoadedWorkspace]
) -> list[workspace.LoadedWorkspace]:
    """Add the problems of files and queries. Each source is looked at once."""
    if not any(loaded.desired and loaded.desired.loads for loaded in each):
        return each
    from segctl.planning.check_sources import check_sources  # noqa: PLC0415 - rarely all of it
    from segctl.session.engine_session import engine_session  # noqa: PLC0415 - as above

    checked: set[str] = set()
    result: list[workspace.LoadedWorkspace] = []
    with engine_session(context.limits) as session:
        for loaded in each:
            found: list[Diagnostic] = []
            if loaded.desired:
                found += check_sources(
                    loaded.desired,
                    engine=session.open_engine,
                    root=context.root,
                    scratch=session.scratch,
                    environment=context.environment,
                    memory=context.limits.memory,
                    checked=checked,
                )
            failed = any(d.severity is Severity.ERROR for d in found)
            result.append(
                replace(
                    loaded,
                    desired=None if failed else loaded.desired,
                    diagnostics=sort_diagnostics([*loaded.diagnostics, *found]),
                )
            )
    return result


def _with_lock_file(
    context: Context, loaded: workspace.LoadedWorkspace
) -> workspace.LoadedWorkspace:
    """Add the problems of ``segctl.lock.yaml``, with which every plan would be refused."""
    try:
        read_known_states(context.root)
    except InvalidInput as error:
        diagnostics = sort_diagnostics([*loaded.diagnostics, *error.diagnostics])
        return replace(loaded, desired=None, diagnostics=diagnostics)
    return loaded


def _load(context: Context, variables: Mapping[str, str]) -> workspace.LoadedWorkspace:
    trusted = find_trusted_copy(context.root, context.trusted_config, context.environment)

    def read_sql(path: str, allowed: Sequence[str]) -> bytes:
        from segctl.sources.sql_files import read_sql_file  # noqa: PLC0415 - few workspaces need it

        is_trusted = trusted is not None or not is_pull_request(context.environment)
        return read_sql_file(path, root=context.root, allowed=allowed, is_trusted=is_trusted)

    return workspace.load_workspace(
        context.root,
        variables=variables,
        environment=context.environment,
        trusted=trusted,
        read_sql=read_sql,
        env_name=context.env_name,
        now=context.clock.now(),
    )


def read_manifests(context: Context) -> manifest_files.ManifestFiles:
    """Return the content of every manifest of the workspace."""
    return manifest_files.read_manifests(context.root)


def read_named_files(context: Context, names: Iterable[str]) -> NamedFiles:
    """Return the content of files that are named one by one, relative to the folder of the run."""
    return named_files.read_named_files(context.root, names)


def rewrite_manifest(context: Context, file: str, text: str) -> None:
    """Replace a manifest by ``text``. Raises ``OperationError``."""
    workspace.replace_manifest(context.root, file, text)


def load_desired(context: Context, variables: Mapping[str, str]) -> DesiredState:
    """Return the desired state of the workspace.

    Raises ``InvalidInput``, also for settings that the trusted copy does not have.
    """
    loaded = _load(context, variables)
    if loaded.desired is None:
        raise InvalidInput(loaded.diagnostics)
    refused = [d for d in loaded.diagnostics if d.code == NOT_TRUSTED]
    if refused:
        raise InvalidInput([replace(d, severity=Severity.ERROR) for d in refused])
    return loaded.desired
