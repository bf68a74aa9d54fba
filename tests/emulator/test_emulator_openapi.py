"""The service agrees with its OpenAPI document on generated requests, valid and invalid."""

from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from segctl.emulator.app import create_app

HEADERS = {"X-CleverTap-Account-Id": "EMULATOR", "X-CleverTap-Passcode": "emulator"}

# A schema cannot say that names are unique, that some entry has a user, which cursors
# exist, that exactly one key is given, which segments and fields a campaign needs, or what
# a query may ask: these paths may refuse what the schema allows.
STRICTER_THAN_SCHEMA = {
    "/api/createSegment",
    "/api/updateSegment",
    "/1/events.json",
    "/1/profile.json",
    "/emulator/v1/users",
    "/1/profiles.json",
    "/1/counts/events.json",
    "/1/counts/profiles.json",
    "/1/counts/top.json",
    "/1/counts/trends.json",
    "/1/targets/create.json",
    "/emulator/v1/segments",
    "/emulator/v1/campaigns",
    "/emulator/v1/campaigns/estimate",
}


async def no_sleep(_seconds: float) -> None:
    """Take no time for the latency of generated settings."""


schema: Any = schemathesis.openapi.from_asgi(
    "/emulator/v1/openapi.json", create_app(sleep=no_sleep, run_campaigns=False)
)


for item in schema.raw_schema["paths"].values():
    for operation in item.values():
        # Otherwise requests without credentials would be generated, to which the call below
        # adds them again.  Other tests check that credentials are required.
        operation.pop("security", None)

parametrize: Callable[[Callable[[Any], None]], Any] = schema.parametrize()


@parametrize
@hypothesis_settings(
    max_examples=hypothesis_settings().max_examples // 10,  # `make torture` takes more
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_the_document_and_the_service_agree(case: Any) -> None:
    excluded = [positive_data_acceptance] if case.path in STRICTER_THAN_SCHEMA else []
    case.call_and_validate(headers=HEADERS, excluded_checks=excluded)
