"""The base of the models: what is written in YAML is taken strictly, and named in camelCase."""

import re

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def _field_title(name: str, _field: object) -> str:
    return name.replace("_", " ").capitalize()


def _model_title(model: type) -> str:
    name = model.__name__.removesuffix("Document").removesuffix("Settings")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


class Section(BaseModel):
    """Base of everything that is written in YAML."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        defer_build=True,
        alias_generator=to_camel,
        field_title_generator=_field_title,
        model_title_generator=_model_title,
    )
