"""What the sources of one plan share, with the settings of its project."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from segctl.core.ci import is_pull_request
from segctl.engine.protocols import Engine
from segctl.manifests.desired import ProjectSettings
from segctl.sources.context import SourceContext
from segctl.sources.object_store import ObjectFetcher
from segctl.sources.path_policy import PathPolicy


def open_source_context(
    project: ProjectSettings,
    scratch: Path,
    *,
    engine: Callable[[], Engine],
    root: Path,
    environment: Mapping[str, str],
    memory: int | None = None,
) -> SourceContext:
    """Return what the sources of a plan share, with their scratch files in ``scratch``.

    ``root`` is the workspace folder, and ``environment`` the variables that sources may read.
    """
    is_trusted = project.is_trusted or not is_pull_request(environment)
    policy = PathPolicy(
        root=root,
        allowed=project.allowed_folders,
        is_trusted=is_trusted,
        objects=ObjectFetcher(scratch),
    )
    return SourceContext(
        policy=policy,
        is_trusted=is_trusted,
        open_engine=cache(engine),
        scratch=scratch,
        environment=environment,
        connections=project.connections,
        time_zone=project.time_zone,
        query_limits=project.query_limits,
        memory=memory,
    )
