"""Turn the validation errors of a model into diagnostics with a location and advice."""

import re
from collections import Counter
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from segctl.core.diagnostics import Diagnostic
from segctl.core.suggestions import did_you_mean
from segctl.manifests.field_types import shape
from segctl.manifests.source_models import MemberSource
from segctl.manifests.yaml_tree import Document, Path

MAX_SIMILAR = 10
"""How many problems of one type in one list are shown. The others are counted."""

_KEY_STEP = "[key]"
"""pydantic's last step of the path to an invalid key."""

_UNION_TAG = re.compile("<.*>")
"""A step for the tag of a union; the document has no such key."""


def or_list(words: Sequence[str]) -> str:
    """Return the words as ``a, b or c``."""
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def explain_errors(
    document: Document, model: type[BaseModel], error: ValidationError
) -> list[Diagnostic]:
    """Return a diagnostic for each error that the model found in a document."""
    kind = str(model.model_fields["kind"].annotation.__args__[0])  # type: ignore[union-attr]  # a Literal
    counts: Counter[tuple[Any, ...]] = Counter()
    diagnostics: list[Diagnostic] = []
    last: dict[tuple[Any, ...], Diagnostic] = {}
    for details in error.errors(include_url=False):
        if details["loc"] == ("apiVersion",):
            continue  # classify.py reports it
        group = (details["type"], *(step for step in details["loc"] if not isinstance(step, int)))
        counts[group] += 1
        if counts[group] <= MAX_SIMILAR:
            last[group] = _explain_error(document, kind, model, details)
            diagnostics.append(last[group])
    return diagnostics + [
        count_of_others(last[group], count - MAX_SIMILAR)
        for group, count in counts.items()
        if count > MAX_SIMILAR
    ]


def count_of_others(last: Diagnostic, count: int) -> Diagnostic:
    """Return the diagnostic that replaces ``count`` further ones similar to ``last``."""
    return Diagnostic(
        code=last.code,
        summary=f"{count:,} more problems like this one follow.",
        location=last.location,
        severity=last.severity,
    )


def _explain_error(
    document: Document, kind: str, model: type[BaseModel], details: ErrorDetails
) -> Diagnostic:
    path = [s for s in details["loc"] if isinstance(s, int) or not _UNION_TAG.fullmatch(s)]
    is_key = bool(path) and path[-1] == _KEY_STEP
    if is_key:
        del path[-1]
    code, summary, detail = _words(kind, model, path, details, is_key=is_key)
    return Diagnostic(
        code=code,
        summary=summary,
        detail=detail,
        location=document.locate(path, key=is_key or code == "unknown-field"),
    )


def _words(
    kind: str, model: type[BaseModel], path: Path, details: ErrorDetails, *, is_key: bool
) -> tuple[str, str, str]:
    """Return code, summary and detail for an error."""
    name, value, context = _name(path), details["input"], details.get("ctx", {})
    match details["type"]:
        case "missing":
            advice = f"Add {path[-1]}: {_description(model, path)}"
            return "missing-field", f"{name} is missing in {_parent(kind, path)}.", advice
        case "extra_forbidden":
            known = known_fields(model, path[:-1])
            advice = did_you_mean(str(path[-1]), known) or f"Use {or_list(known)}."
            return "unknown-field", f"unknown field {name} in {_parent(kind, path)}.", advice
        case "literal_error" if isinstance(value, str):
            return _wrong_choice(name, value, str(context["expected"]))
        case error_type if error_type in _SHAPES:
            is_source = _type_at(model, path) is MemberSource and isinstance(value, str)
            advice = "Write identities: [...], guids: [...] or segment: NAME." if is_source else ""
            return _wrong_shape(_SHAPES[error_type], name, value, advice)
        case error_type if "summary" in context:
            summary = str(context["summary"]).replace("{name}", name)
            return error_type, summary, str(context["detail"])
        case error_type:
            return _limit_words(error_type, name, value, context, is_key=is_key)


def _limit_words(
    error_type: str, name: str, value: Any, context: dict[str, Any], *, is_key: bool
) -> tuple[str, str, str]:
    match error_type:
        case "string_pattern_mismatch":
            subject = name if is_key else f"the value of {name}"
            summary = f"{subject} is not a valid name."
            return "bad-name", summary, _name_rule(str(context["pattern"]))
        case "less_than_equal":
            summary = f"{name} must be at most {context['le']:g}, but it is {value:g}."
            return "out-of-range", summary, "Write a smaller number."
        case "greater_than_equal":
            summary = f"{name} must be at least {context['ge']:g}, but it is {value:g}."
            return "out-of-range", summary, "Write a greater number."
        case "too_short":
            return "empty", f"{name} is empty.", "Add at least one item."
        case _:
            return "wrong-value", f"{name} has a value that cannot be used.", ""


def _wrong_choice(name: str, value: str, expected: str) -> tuple[str, str, str]:
    choices = re.findall("'([^']+)'", expected)
    alternative = ", or a list of sources" if name == '"members"' else ""
    advice = f"Use {or_list(choices)}{alternative}. {did_you_mean(value, choices)}".strip()
    return "wrong-value", f'{name} cannot be "{value[:40]}".', advice


_SHAPES = {
    "string_type": "text",
    "literal_error": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
"""The shape that a field must have, by the type of pydantic's error."""

_SHAPE_ADVICE = {
    "text": "Write a single value.",
    "a list": "Begin each item with a dash, or write the list in brackets: [a, b].",
    "a mapping": "Write its fields below it, one per line.",
}


def _wrong_shape(wanted: str, name: str, value: object, advice: str) -> tuple[str, str, str]:
    if value is None:
        advice = "Add a value, or remove the line."
        if wanted == "text":
            advice = "Add a value. If you mean the text null, ~ or an empty text, put it in quotes."
        return "no-value", f"{name} has no value.", advice
    summary = f"{name} must be {wanted}, but it is {shape(value)}."
    return "wrong-type", summary, advice or _SHAPE_ADVICE[wanted]


def _name_rule(pattern: str) -> str:
    if pattern.startswith("^[a-z_]"):
        return "Use lower-case letters, digits and underscores, and no digit at the beginning."
    return (
        "Use up to 128 letters, digits, dots, dashes and underscores, with a letter or digit at "
        "both ends."
    )


def _name(path: Path) -> str:
    if not path:
        return "the document"
    if isinstance(path[-1], int):
        return f'an item of "{path[-2]}"'
    return f'"{path[-1]}"'


def _parent(kind: str, path: Path) -> str:
    """Return the kind of the document and the path to the parent of a field."""
    return " ".join([kind, ".".join(step for step in path[:-1] if isinstance(step, str))]).strip()


def _description(model: type[BaseModel], path: Path) -> str:
    """Return the description of a field, to follow a colon."""
    fields = _type_at(model, path[:-1]).model_fields.values()
    description = next(f.description or "" for f in fields if f.alias == path[-1])
    return description[:1].lower() + description[1:]


def known_fields(model: type[BaseModel], path: Path) -> list[str]:
    """Return the fields of the mapping at ``path`` in the model's order.

    A mapping with free keys has none.
    """
    kind = _type_at(model, path)
    return [str(f.alias) for f in kind.model_fields.values()] if _is_model(kind) else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _type_at(model: Any, path: Path) -> Any:
    """Return the type of the value at ``path`` below a model."""
    for step in path:
        model = _unwrapped(model, is_item=isinstance(step, int))
        if _is_model(model):
            fields = model.model_fields.values()
            model = next((f.annotation for f in fields if f.alias == step), None)
        else:
            model = (get_args(model) or (None,))[-1]
    return _unwrapped(model)


def _unwrapped(kind: Any, *, is_item: bool = False) -> Any:
    """Remove ``Annotated`` and unions around a model, a list or a dict.

    Of a union of a list and something else, return the list if ``is_item`` is set.
    """
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType):
            options = [option for option in get_args(kind) if option is not NoneType]
            forms = [o for o in options if (get_origin(_unwrapped(o)) is list) == is_item]
            kind = forms[0] if forms else options[0]
        else:
            return kind
