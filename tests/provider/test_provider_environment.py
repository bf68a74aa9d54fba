"""Unusable TLS and proxy settings fail before anything is sent."""

import pytest

from segctl.core.clock import SystemClock
from segctl.core.errors import OperationError
from segctl.provider.client import CleverTapProvider


def provider() -> CleverTapProvider:
    return CleverTapProvider(
        base_url="https://in1.api.clevertap.com",
        account_id="A",
        passcode="b",
        clock=SystemClock(),
        chance=lambda: 0.5,
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "SSL_CERT_FILE",
            "/nowhere",
            "the TLS certificates cannot be loaded: No such file or directory",
        ),
        (
            "HTTPS_PROXY",
            "ftp://anna:secret@proxy",
            "a proxy setting in the environment is not valid",
        ),
        (
            "HTTPS_PROXY",
            "socks5://proxy",
            "the SOCKS proxy in HTTPS_PROXY needs the package socksio, which is not installed",
        ),
    ],
)
def test_an_unusable_setting_in_the_environment_is_an_error(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(OperationError) as caught:
        provider()
    assert caught.value.message == message
    assert variable in caught.value.hint or "socks" in caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint
