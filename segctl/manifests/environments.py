"""Environments: one set of manifests for several accounts, such as staging and production.

``spec.environments`` says what differs. The chosen one is laid over the Project before anything
else looks at it.
"""

from collections.abc import Iterable, Iterator

from segctl.core.diagnostics import Diagnostic
from segctl.core.suggestions import did_you_mean
from segctl.manifests.state_place import check_state_place, is_nested, normalized_place
from segctl.manifests.yaml_tree import Document, Map, Value, lookup

MERGED = ("provider", "guards", "approval", "variables")
"""The fields of an environment that are merged with those of the Project, field by field."""

_HOSTS = frozenset(("region", "baseUrl"))
"""Two ways to name the service: an environment that has one replaces either."""

NO_ENVIRONMENT = "default"
"""The name of the state of a workspace without environments."""

REPLACED = ("state", "allow", "changeFreeze")
"""The fields that replace those of the Project."""


def environment_names(project: Document) -> tuple[str, ...]:
    """Return the names of the environments of a Project, sorted."""
    environments = lookup(project.data, "spec", "environments")
    return tuple(sorted(environments)) if isinstance(environments, Map) else ()


def select_environment(project: Document, name: str) -> tuple[Document, list[Diagnostic]]:
    """Return the Project with an environment laid over it, and the problems.

    ``name`` is empty if none was chosen, as it must be for a Project without environments.
    """
    names = environment_names(project)
    if not names and not name:
        return project, []
    if name not in names:
        return project, [_not_selected(project, name, names)]
    spec = lookup(project.data, "spec")
    chosen = lookup(project.data, "spec", "environments", name)
    if not isinstance(spec, Map) or not isinstance(chosen, Map):
        return project, []  # the model reports it
    merged = _copy(spec)
    for field in (*MERGED, *REPLACED):
        if field in chosen:
            value = chosen[field]
            if field == "variables":
                value = _as_declarations(value)
            if field in MERGED:
                value = _merge(merged.get(field), value)
            elif field == "state":
                value = _with_encryption(value, merged.get(field))
            _set(merged, field, value, like=chosen)
    data = _copy(project.data)
    if isinstance(data, Map):
        _set(data, "spec", merged, like=project.data)
    return Document(
        file=project.file, start=project.start, data=data, problems=project.problems
    ), []


def _not_selected(project: Document, name: str, names: Iterable[str]) -> Diagnostic:
    listed = ", ".join(names)
    if not listed:
        return Diagnostic(
            code="unknown-environment",
            summary=f'there is no environment "{name}": segctl.yaml has no environments.',
            detail="Remove -e, or unset SEGCTL_ENV.",
            location=project.locate(("spec",)),
        )
    if not name:
        return Diagnostic(
            code="environment-not-chosen",
            summary=f"segctl.yaml has environments ({listed}), and none is chosen.",
            detail="Choose one with -e NAME, or with SEGCTL_ENV.",
            location=project.locate(("spec", "environments"), key=True),
        )
    return Diagnostic(
        code="unknown-environment",
        summary=f'there is no environment "{name}".',
        detail=did_you_mean(name, names) or f"Choose one of {listed}.",
        location=project.locate(("spec", "environments"), key=True),
    )


def check_environments(project: Document) -> Iterator[Diagnostic]:
    """Report variables that are not declared, and environments that share a state."""
    declared = lookup(project.data, "spec", "variables")
    known = tuple(declared) if isinstance(declared, Map) else ()
    for name in environment_names(project):
        path = ("spec", "environments", name, "variables")
        values = lookup(project.data, *path)
        for variable in values if isinstance(values, Map) else ():
            if variable not in known:
                yield Diagnostic(
                    code="unknown-variable",
                    summary=f'the variable "{variable}" is not declared.',
                    detail=did_you_mean(variable, known) or "Declare it under spec.variables.",
                    location=project.locate((*path, variable), key=True),
                )
    yield from _check_states(project)


def _check_states(project: Document) -> Iterator[Diagnostic]:
    """Report environments that share a state: each would destroy what the other declares."""
    yield from check_state_place(project, ("spec", "state"))
    places: dict[str, str] = {}
    for name in environment_names(project):
        path = ("spec", "environments", name, "state")
        yield from check_state_place(project, path)
        has_own = lookup(project.data, *path) is not None
        place = normalized_place(project, *(path if has_own else ("spec", "state")))
        other = places.setdefault(place, name)
        nested = next((n for p, n in places.items() if p != place and is_nested(p, place)), None)
        if nested and nested != name:
            yield Diagnostic(
                code="shared-state",
                summary=f"the states of {nested} and {name} are in each other's folder.",
                detail="Give each a folder of its own.",
                location=project.locate(("spec", "environments", name), key=True),
            )
        if other != name:
            yield Diagnostic(
                code="shared-state",
                summary=f"the environments {other} and {name} have the same state.",
                detail=f"Give {name} a state of its own, in another folder.",
                location=project.locate(("spec", "environments", name), key=True),
            )
        if name == NO_ENVIRONMENT:
            yield Diagnostic(
                code="bad-name",
                summary=f'an environment cannot be called "{name}".',
                detail="segctl.lock.yaml has this name for a workspace without environments.",
                location=project.locate(("spec", "environments", name), key=True),
            )


def _as_declarations(values: Value) -> Value:
    """Return the variables of an environment as declarations with defaults."""
    if not isinstance(values, Map):
        return values
    declarations = Map()
    for name, value in values.items():
        declaration = Map()
        declaration["default"] = value
        declaration.key_positions["default"] = values.value_positions[name]
        declaration.value_positions["default"] = values.value_positions[name]
        _set(declarations, name, declaration, like=values)
    return declarations


def _with_encryption(state: Value, base: Value) -> Value:
    """Return the state of an environment, encrypted as that of the Project if it says nothing."""
    inherited = lookup(base, "encryption")
    if inherited is None or not isinstance(state, Map) or "encryption" in state:
        return state
    merged = _copy(state)
    _set(merged, "encryption", inherited, like=base)
    return merged


def _merge(base: Value, over: Value) -> Value:
    if not isinstance(base, Map) or not isinstance(over, Map):
        return over
    merged = _copy(base)
    if not _HOSTS.isdisjoint(over):
        for key in _HOSTS:
            merged.pop(key, None)
    for key, value in over.items():
        _set(merged, key, value, like=over)
    return merged


def _copy(value: Value) -> Map:
    copied = Map()
    if isinstance(value, Map):
        copied.update(value)
        copied.key_positions.update(value.key_positions)
        copied.value_positions.update(value.value_positions)
    return copied


def _set(target: Map, key: str, value: Value, *, like: Value) -> None:
    """Set a key with the position that it has in ``like``."""
    target[key] = value
    if isinstance(like, Map):
        target.key_positions[key] = like.key_positions[key]
        target.value_positions[key] = like.value_positions[key]
