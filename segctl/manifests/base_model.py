"""The base class of the manifest models: strict values and camelCase field names."""

import re

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def _field_title(name: str, _field: object) -> str:
    return name.replace("_", " ").capitalize()


def _model_title(model: type) -> str:
    name = model.__name__.removesuffix("Document").removesuffix("Settings")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


class Section(BaseModel):
    """Base class of every mapping in a manifest."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        defer_build=True,
        alias_generator=to_camel,
        field_title_generator=_field_title,
        model_title_generator=_model_title,
    )
