"""What a model refuses, in the user's words and at its place."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from segctl.core.diagnostics import Diagnostic
from segctl.manifests.field_types import shape
from segctl.manifests.source_models import MemberSource
from segctl.manifests.yaml_tree import Document, Path

MAX_ALIKE = 10
"""How many problems of one sort in one list are shown; the rest is counted."""

_KEY = "[key]"


def nearest(name: str, known: Iterable[str]) -> str:
    """Give the question that names what was probably meant, or nothing."""
    known = list(known)
    match = get_close_matches(name, known, n=1, cutoff=0.6)
    if not match:
        folded = {k.casefold(): k for k in known}
        match = [folded[name.casefold()]] if name.casefold() in folded else []
    return f'Did you mean "{match[0]}"?' if match else ""


def explain(document: Document, model: type[BaseModel], error: ValidationError) -> list[Diagnostic]:
    """Give a diagnostic for each thing that the model refused below a document's head."""
    kind = str(model.model_fields["kind"].annotation.__args__[0])  # type: ignore[union-attr]  # a Literal
    seen: Counter[tuple[Any, ...]] = Counter()
    found: list[Diagnostic] = []
    last: dict[tuple[Any, ...], Diagnostic] = {}
    for details in error.errors(include_url=False):
        if details["loc"] == ("apiVersion",):
            continue  # recognize.py has said so
        sort = (details["type"], *(p for p in details["loc"] if not isinstance(p, int)))
        seen[sort] += 1
        if seen[sort] <= MAX_ALIKE:
            last[sort] = _one(document, kind, model, details)
            found.append(last[sort])
    found += [and_more(last[sort], n - MAX_ALIKE) for sort, n in seen.items() if n > MAX_ALIKE]
    return found


def and_more(last: Diagnostic, count: int) -> Diagnostic:
    """Stand for ``count`` further problems of the sort of ``last``."""
    return Diagnostic(
        code=last.code,
        summary=f"{count:,} more of the same follow in this list.",
        location=last.location,
        severity=last.severity,
    )


def _one(
    document: Document, kind: str, model: type[BaseModel], details: ErrorDetails
) -> Diagnostic:
    loc = [p for p in details["loc"] if not (isinstance(p, str) and re.fullmatch("<.*>", p))]
    of_key = bool(loc) and loc[-1] == _KEY
    path = loc[:-1] if of_key else loc
    wrong = details["type"] == "extra_forbidden"
    code, summary, detail = _words(kind, model, path, details)
    return Diagnostic(
        code=code,
        summary=summary,
        detail=detail,
        location=document.at(path, key=of_key or wrong),
    )


def _words(
    kind: str, model: type[BaseModel], path: Path, details: ErrorDetails
) -> tuple[str, str, str]:
    """Give code, summary and detail."""
    name, value, context = _name(path), details["input"], details.get("ctx", {})
    match details["type"]:
        case "missing":
            words = f"{name} is missing in {_where(kind, path)}."
            return "missing-field", words, _description(model, path)
        case "extra_forbidden":
            known = known_fields(model, path[:-1])
            advice = nearest(str(path[-1]), known) or f"It knows {_listed(known)}."
            return "unknown-field", f"unknown field {name} in {_where(kind, path)}.", advice
        case "literal_error" if isinstance(value, str):
            return _wrong_choice(name, value, str(context["expected"]))
        case sort if sort in _SHAPES:
            form = _at(model, path) is MemberSource and isinstance(value, str)
            advice = "Write identities: [...], guids: [...] or segment: NAME." if form else ""
            return _wrong_shape(_SHAPES[sort], name, value, advice)
        case sort if "summary" in context:
            return sort, str(context["summary"]).replace("{name}", name), str(context["detail"])
        case sort:
            return _beyond_limit(sort, name, context)


def _beyond_limit(sort: str, name: str, context: dict[str, Any]) -> tuple[str, str, str]:
    limits = {"less_than_equal": ("most", "le"), "greater_than_equal": ("least", "ge")}
    if sort in limits:
        word, key = limits[sort]
        return "out-of-range", f"{name} must be at {word} {context[key]:g}.", ""
    if sort == "string_pattern_mismatch":
        return "bad-name", f"{name} cannot be used as a name.", _name_rule(context["pattern"])
    if sort == "too_short":
        return "empty", f"{name} has nothing in it.", "Add one at least."
    return "wrong-value", f"{name} cannot be used as it stands.", ""


def _wrong_choice(name: str, value: str, expected: str) -> tuple[str, str, str]:
    choices = re.findall("'([^']+)'", expected)
    others = ", or be a list of sources" if name == '"members"' else ""
    advice = f"It can be {_listed(choices)}{others}. {nearest(value, choices)}".strip()
    return "wrong-value", f'{name} cannot be "{value[:40]}".', advice


_SHAPES = {
    "string_type": "text",
    "literal_error": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


def _wrong_shape(wanted: str, name: str, value: object, advice: str) -> tuple[str, str, str]:
    if value is None:
        advice = "Write one, or remove the line."
        if wanted == "text":
            advice = "Write one; put null, ~ or an empty text in quotes where it is meant."
        return "no-value", f"{name} has no value.", advice
    return "wrong-type", f"{name} must be {wanted}.", advice or f"Here it is {shape(value)}."


def _name_rule(pattern: str) -> str:
    if pattern.startswith("^[a-z_]"):
        return "Use lower-case letters, digits and underscores, with no digit in front."
    return (
        "Use letters, digits, dots, dashes and underscores, up to 128, "
        "with a letter or digit at both ends."
    )


def _name(path: Path) -> str:
    if not path:
        return "the document"
    if isinstance(path[-1], int):
        return f'an item of "{path[-2]}"'
    return f'"{path[-1]}"'


def _where(kind: str, path: Path) -> str:
    return " ".join([kind, ".".join(str(p) for p in path[:-1] if isinstance(p, str))]).strip()


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _description(model: type[BaseModel], path: Path) -> str:
    fields = _at(model, path[:-1]).model_fields.values()
    return next(f.description or "" for f in fields if f.alias == path[-1])


def known_fields(model: type[BaseModel], path: Path) -> list[str]:
    """Give the fields of the mapping at a path in the model's order; none where keys are free."""
    kind = _at(model, path)
    return [str(f.alias) for f in kind.model_fields.values()] if _is_model(kind) else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _at(model: Any, path: Path) -> Any:
    """Give the type of the value at a path below a model."""
    for step in path:
        model = _bare(model, listed=isinstance(step, int))
        if _is_model(model):
            fields = model.model_fields.values()
            model = next((f.annotation for f in fields if f.alias == step), None)
        else:
            model = (get_args(model) or (None,))[-1]
    return _bare(model)


def _bare(kind: Any, *, listed: bool = False) -> Any:
    """Take off what is wrapped around a model, a list or a dict; of both forms, give one."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType):
            options = [k for k in get_args(kind) if k is not NoneType]
            forms = [k for k in options if (get_origin(_bare(k)) is list) == listed]
            kind = forms[0] if forms else options[0]
        else:
            return kind
