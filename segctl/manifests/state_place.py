"""Where ``spec.state`` says that the state is: a folder of this machine, or a bucket."""

import posixpath
from collections.abc import Iterator
from dataclasses import replace

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic
from segctl.manifests.object_urls import ObjectUrl, parse_object_url
from segctl.manifests.yaml_tree import Document, Map, Seq, Value, lookup

LOCAL, OBJECT_STORE = "local", "objectStore"
DEFAULT_LEASE_SECONDS = 60.0
MIN_LEASE_SECONDS, MAX_LEASE_SECONDS = 10.0, 3600.0

_FORMS = "s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER"
_KEY_FORMS = "Write key: {env: NAME} or key: {command: [PROGRAM, ARGUMENT]}."
_ENCRYPTION_FIELDS = {"key", "oldKeys", "enforced"}
_NOT_IN_FOLDERS = frozenset("*?[]{}#%\\")
"""Characters that a shell, a pattern or a URL reads in another way than a bucket."""


@dataclass(frozen=True, kw_only=True)
class KeySource:
    """Where a key comes from: an environment variable, or the output of a program."""

    env: str = ""
    command: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Encryption:
    """How a state is encrypted; see ``spec.state.encryption``."""

    key: KeySource | None = None
    old_keys: tuple[KeySource, ...] = ()
    is_enforced: bool = False


@dataclass(frozen=True, kw_only=True)
class StatePlace:
    """The place of a state: ``url`` of a bucket's folder, or a ``path`` as written, perhaps empty.

    ``lease_seconds`` is how long the lock of a state in a bucket outlives its holder.
    """

    path: str = ""
    url: ObjectUrl | None = None
    lease_seconds: float = DEFAULT_LEASE_SECONDS
    encryption: Encryption = Encryption()

    @property
    def address(self) -> str:
        """How ``segctl.lock.yaml`` names the place."""
        if self.url:
            return str(self.url).rstrip("/")
        return f"local:{self.path}" if self.path else "local"

    @property
    def settings(self) -> str:
        """The value of ``spec.state`` for the place, as YAML."""
        if self.url:
            return f'{{backend: {OBJECT_STORE}, url: "{self.address}"}}'
        return f'{{path: "{self.path}"}}' if self.path else f"{{backend: {LOCAL}}}"


def find_state_place(project: Document) -> StatePlace:
    """Return the place that a Project names. Call ``check_state_place`` first."""
    settings = lookup(project.data, "spec", "state")
    encryption = _find_encryption(settings)
    if lookup(settings, "backend") == OBJECT_STORE:
        return StatePlace(
            encryption=encryption,
            url=parse_state_url(str(lookup(settings, "url"))),
            lease_seconds=_lease_seconds(lookup(settings, "leaseSeconds")) or DEFAULT_LEASE_SECONDS,
        )
    path = lookup(settings, "path")
    is_path = isinstance(path, str) and path.strip()
    return StatePlace(path=str(path) if is_path else "", encryption=encryption)


def _find_encryption(settings: Value) -> Encryption:
    found = lookup(settings, "encryption")
    old = lookup(found, "oldKeys")
    return Encryption(
        key=_key_source(lookup(found, "key")),
        old_keys=tuple(filter(None, map(_key_source, old if isinstance(old, Seq) else ()))),
        is_enforced=lookup(found, "enforced") in ("true", True),
    )


def _key_source(value: Value) -> KeySource | None:
    name, command = lookup(value, "env"), lookup(value, "command")
    if isinstance(name, str):
        return KeySource(env=name)
    if isinstance(command, Seq) and command:
        return KeySource(command=tuple(map(str, command)))
    return None


def parse_state_url(text: str) -> ObjectUrl | None:
    """Return the URL of a folder without slashes around its key, or ``None`` if it is none."""
    url = parse_object_url(text)
    return url and replace(url, key=url.key.strip("/"))


def normalized_place(project: Document, *path: str) -> str:
    """Return a text that is the same for settings that name the same place."""
    url, folder = lookup(project.data, *path, "url"), lookup(project.data, *path, "path")
    if url:
        return str(parse_state_url(str(url)) or url).rstrip("/")
    return posixpath.normpath(str(folder or "."))


def is_nested(one: str, other: str) -> bool:
    """Whether one of two places in buckets is within the other."""
    if "://" not in one or "://" not in other:
        return False
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def check_state_place(project: Document, path: tuple[str, ...]) -> Iterator[Diagnostic]:
    """Report settings of a state, at ``path``, from which its place cannot be told."""
    settings = lookup(project.data, *path)
    backend = lookup(settings, "backend") or LOCAL
    names, other = ("url", "path") if backend == OBJECT_STORE else ("path", "url")
    value = lookup(settings, names)
    if isinstance(value, str) and "${" in value:
        yield Diagnostic(
            code="variable-not-allowed",
            summary=f"the {names} of a state cannot have a variable: it says where the state is to "
            "commands that read no variables.",
            detail=f"Write the {names}. For a state per environment, use spec.environments.",
            location=project.locate((*path, names)),
        )
    elif backend in (LOCAL, OBJECT_STORE) and lookup(settings, other) is not None:
        needed = LOCAL if other == "path" else OBJECT_STORE
        yield Diagnostic(
            code="state-backend",
            summary=f'"{other}" needs backend: {needed}, and the backend is {backend}.',
            detail=f"Write backend: {needed}, or remove {other}.",
            location=project.locate((*path, other), key=True),
        )
    elif backend == OBJECT_STORE:
        yield from _check_url(project, path, value)
    yield from _check_encryption(project, (*path, "encryption"))


def check_state_shape(project: Document, path: tuple[str, ...]) -> Iterator[Diagnostic]:
    """Report what the model of a Project reports, for commands that do not compile one."""
    settings = lookup(project.data, *path)
    backend = lookup(settings, "backend")
    if backend not in (None, LOCAL, OBJECT_STORE):
        yield Diagnostic(
            code="state-backend",
            summary="there is no such backend of a state.",
            detail=f"Use {LOCAL} or {OBJECT_STORE}.",
            location=project.locate((*path, "backend")),
        )
    yield from _check_encryption_shape(project, (*path, "encryption"))
    lease = lookup(settings, "leaseSeconds")
    if lease is not None and _lease_seconds(lease) is None:
        yield Diagnostic(
            code="state-lease",
            summary="the lease of a state cannot have this length.",
            detail=f"Write {MIN_LEASE_SECONDS:.0f} to {MAX_LEASE_SECONDS:.0f} seconds.",
            location=project.locate((*path, "leaseSeconds")),
        )


def _check_encryption(project: Document, path: tuple[str, ...]) -> Iterator[Diagnostic]:
    """Report encryption without a key: members would be in the clear."""
    found = lookup(project.data, *path)
    if not isinstance(found, Map):
        return
    keys = _keys_of(found)
    for where, value in keys.items():
        if isinstance(value, Map) and len(value) != 1:
            yield Diagnostic(
                code="state-key",
                summary="a key comes from one place.",
                detail=_KEY_FORMS,
                location=project.locate((*path, *where)),
            )
    if not keys:
        yield Diagnostic(
            code="state-key",
            summary="the encryption of a state needs a key.",
            detail="Write encryption: {key: {env: NAME}}.",
            location=project.locate(path),
        )


def _check_encryption_shape(project: Document, path: tuple[str, ...]) -> Iterator[Diagnostic]:
    found = lookup(project.data, *path)
    if found is None:
        return
    is_known = isinstance(found, Map) and set(found) <= _ENCRYPTION_FIELDS
    old = lookup(found, "oldKeys")
    keys = _keys_of(found)
    if (
        not is_known
        or not (old is None or isinstance(old, Seq))
        or any(isinstance(v, Map) and len(v) == 1 and not _key_source(v) for v in keys.values())
        or not all(isinstance(value, Map) for value in keys.values())
    ):
        yield Diagnostic(
            code="state-key",
            summary="the encryption of a state cannot be understood.",
            detail=_KEY_FORMS,
            location=project.locate(path),
        )


def _keys_of(encryption: Value) -> dict[tuple[str | int, ...], Value]:
    """Return the settings of all keys by where they are."""
    keys: dict[tuple[str | int, ...], Value] = {}
    if isinstance(encryption, Map) and "key" in encryption:
        keys["key",] = encryption["key"]
    old = lookup(encryption, "oldKeys")
    for number, value in enumerate(old if isinstance(old, Seq) else ()):
        keys["oldKeys", number] = value
    return keys


def _lease_seconds(value: object) -> float | None:
    """Return a lease as written in seconds, or ``None`` if it cannot be one."""
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return seconds if MIN_LEASE_SECONDS <= seconds <= MAX_LEASE_SECONDS else None


def _check_url(project: Document, path: tuple[str, ...], value: object) -> Iterator[Diagnostic]:
    """Report a URL that is missing, or that names no folder of a bucket."""
    if value is None:
        yield Diagnostic(
            code="state-backend",
            summary="backend: objectStore needs a url.",
            detail=f"Write url: {_FORMS}.",
            location=project.locate((*path, "backend")),
        )
        return
    url = parse_object_url(value) if isinstance(value, str) else None
    if problem := folder_problem(url):
        yield Diagnostic(
            code="state-url",
            summary=f"{problem}.",
            detail=f"Write {_FORMS}.",
            location=project.locate((*path, "url")),
        )


def folder_problem(url: ObjectUrl | None) -> str:
    """Return why a state cannot be in this folder of a bucket, or an empty text.

    The URL is not shown: it may contain credentials.
    """
    if url is None:
        return "this is not the URL of a folder in a bucket"
    if not _NOT_IN_FOLDERS.isdisjoint(url.key) or not url.key.isprintable():
        return "the folder of a state cannot have special characters in its name"
    parts = url.key.strip("/").split("/") if url.key.strip("/") else []
    if {"", ".", ".."}.intersection(parts):
        return "no part of a folder's name can be empty, . or .."
    return ""
