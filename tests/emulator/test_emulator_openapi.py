"""Requests made up from the OpenAPI document, right and wrong, meet no failure of ours."""

from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from segctl.emulator.app import create_app

HEADERS = {"X-CleverTap-Account-Id": "EMULATOR", "X-CleverTap-Passcode": "emulator"}

# A schema cannot say that names are unique, that there is a user in some entry,
# or which cursors exist, or that one key is given: what it allows may be refused there.
SAYS_LESS = {"/api/createSegment", "/api/updateSegment", "/1/events.json", "/1/profile.json"}


async def no_sleep(_seconds: float) -> None:
    """A latency that the made-up settings ask for takes no time."""


schema: Any = schemathesis.openapi.from_asgi(
    "/emulator/v1/openapi.json", create_app(sleep=no_sleep)
)


for item in schema.raw_schema["paths"].values():
    for operation in item.values():
        # The credentials go with every request; else they would be left out of some
        # and put back by the call below.  That they are asked for has its own tests.
        operation.pop("security", None)

parametrize: Callable[[Callable[[Any], None]], Any] = schema.parametrize()


@parametrize
@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
def test_the_document_and_the_service_agree(case: Any) -> None:
    left_out = [positive_data_acceptance] if case.path in SAYS_LESS else []
    case.call_and_validate(headers=HEADERS, excluded_checks=left_out)
