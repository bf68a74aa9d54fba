"""``segctl.lock.yaml``: which state belongs to a workspace, for its git repository.

A state can be lost: a cache that is empty, another folder, a machine that is gone. The file is
committed with the manifests, so a run notices that the state it finds is not the one it had.
"""

import json
from collections.abc import Mapping

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location
from segctl.core.errors import InvalidInput
from segctl.manifests.yaml_reader import parse_file
from segctl.manifests.yaml_tree import Document, Map

FILE = "segctl.lock.yaml"

_VERSION = "1"
_COMMENT = """\
# Which state belongs to this workspace, so that a run notices if it was lost.
# segctl writes this file. Commit it.
"""
_FIELDS = ("lineage", "account", "host", "backend")


@dataclass(frozen=True, kw_only=True)
class KnownState:
    """The state that a workspace had at its last apply.

    ``account`` and ``host`` are ``None`` if nothing was sent yet. ``backend`` says where the state
    was: ``local``, or ``local:`` and the folder as ``segctl.yaml`` names it.
    """

    lineage: str
    account: str | None
    host: str | None
    backend: str


def encode(states: Mapping[str, KnownState]) -> bytes:
    """Return the content of the file."""
    lines = [f"{_COMMENT}version: {_VERSION}\nstates:\n"]
    for name, state in sorted(states.items()):
        lines.append(f"  {json.dumps(name)}:\n")
        values = (getattr(state, field) for field in _FIELDS)
        lines += [
            f"    {field}: {json.dumps(value)}\n"
            for field, value in zip(_FIELDS, values, strict=True)
        ]
    return "".join(lines).encode()


def decode(content: bytes) -> Mapping[str, KnownState]:
    """Return the states in the file by name. Raises ``InvalidInput`` for another content."""
    parsed = parse_file(FILE, content)
    if parsed.diagnostics:
        raise InvalidInput(parsed.diagnostics)
    if len(parsed.documents) != 1:
        raise InvalidInput([_invalid(None)])
    [document] = parsed.documents
    if document.problems:  # such as a key twice, after a merge
        raise InvalidInput(document.problems)
    data = document.data
    states = data.get("states") if isinstance(data, Map) else None
    if not isinstance(data, Map) or data.get("version") != _VERSION or not isinstance(states, Map):
        raise InvalidInput([_invalid(document)])
    return {name: _decode_state(document, name, value) for name, value in states.items()}


def _decode_state(document: Document, name: str, value: object) -> KnownState:
    if isinstance(value, Map) and sorted(value) == sorted(_FIELDS):
        lineage, account, host, backend = (value[field] for field in _FIELDS)
        if isinstance(lineage, str) and lineage and isinstance(backend, str):
            known = KnownState(
                lineage=lineage,
                account=account if isinstance(account, str) else None,
                host=host if isinstance(host, str) else None,
                backend=backend,
            )
            if all(v is None or isinstance(v, str) for v in (account, host)):
                return known
    raise InvalidInput([_invalid(document, name)])


def _invalid(document: Document | None, *path: str) -> Diagnostic:
    return Diagnostic(
        code="lock-file",
        summary="this is not what segctl writes into this file.",
        detail="Restore it from git.",
        location=document.locate(("states", *path)) if document else Location(file=FILE),
    )
