"""Which proxy is used, which hosts are this machine, and blanks around values."""

import pytest

from segctl.core.connections import find_proxy, host_and_port
from segctl.core.errors import OperationError
from segctl.core.loopback import is_loopback, is_plain_http
from segctl.core.whitespace import describe_surrounding_whitespace

SERVICE = "https://in1.api.clevertap.com"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        (SERVICE, {}, "None"),
        (SERVICE, {"HTTP_PROXY": "http://p:1"}, "None"),
        (SERVICE, {"HTTPS_PROXY": "http://u:secret@p:1/"}, "the proxy p:1 (HTTPS_PROXY)"),
        (SERVICE, {"https_proxy": "p:1", "HTTPS_PROXY": "q:1"}, "the proxy p:1 (https_proxy)"),
        (SERVICE, {"ALL_PROXY": "socks5://p"}, "the proxy p:1080 (ALL_PROXY)"),
        (SERVICE, {"ALL_PROXY": "http://p:1", "NO_PROXY": "clevertap.com"}, "None"),
        (
            SERVICE,
            {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.com"},
            "the proxy p:1 (HTTPS_PROXY)",
        ),
        ("http://127.0.0.2:8787", {"HTTP_PROXY": "http://p:1"}, "None"),
        ("http://[::1]:8787", {"ALL_PROXY": "http://p:1"}, "None"),
        ("http://in1.test", {"HTTP_PROXY": "http://[::1]:9"}, "the proxy [::1]:9 (HTTP_PROXY)"),
    ],
)
def test_the_environment_names_the_proxy_of_a_url(
    url: str, variables: dict[str, str], proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(find_proxy(url)) == proxy
    assert "secret" not in repr(find_proxy(url))


@pytest.mark.parametrize("mark", "/?#")
def test_a_password_is_not_taken_for_the_host_of_a_proxy(
    monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    monkeypatch.setenv("https_proxy", f"http://anna:12345{mark}x@proxy.test:3128")
    with pytest.raises(OperationError, match="the proxy in https_proxy") as caught:
        find_proxy("https://in1.test")
    assert "12345" not in str(caught.value)
    monkeypatch.setenv("https_proxy", "http://anna:12345%2Fx@proxy.test:3128")
    assert "proxy.test:3128" in str(find_proxy("https://in1.test"))


def test_a_host_has_the_port_of_its_scheme() -> None:
    urls = (SERVICE, "http://h", "http://[::1]", "http://h:x")
    assert [host_and_port(url) for url in urls] == [
        "in1.api.clevertap.com:443",
        "h:80",
        "[::1]:80",
        "?",
    ]


@pytest.mark.parametrize("host", "localhost LOCALHOST 127.9.9.9 0.0.0.0 ::1 [::1] [::]".split())
def test_a_loopback_host_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "1"]
)
def test_any_other_host_is_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


def test_only_plain_http_to_another_machine_is_readable_on_the_way() -> None:
    urls = ("http://in1.test", "http://10.0.0.1:8787/x", "https://in1.test", "http://[::1]:8787")
    assert [is_plain_http(url) for url in urls] == [True, True, False, False]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", ""),
        ("a b", ""),
        ("a\n", "V ends in a line break"),
        ("\r\na", "V begins with a line break"),
        ("a ", "V ends in white space"),
        ("\ta", "V begins with white space"),
        (" ", "V ends in white space"),
    ],
)
def test_blanks_around_a_value_are_named(value: str, problem: str) -> None:
    assert describe_surrounding_whitespace("V", value) == problem
