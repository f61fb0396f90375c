from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.proxies import parse_proxy, proxy_for

HTTPS = "https://api.example.com/v1"
HTTP = "http://models.example.com:8000/v1"
P, Q = "http://proxy:3128", "http://other:3128"


@pytest.mark.parametrize(
    ("base_url", "environ", "expected"),
    [
        (HTTPS, {}, None),
        (HTTPS, {"HTTPS_PROXY": P}, P),
        (HTTPS, {"https_proxy": P, "HTTPS_PROXY": Q}, P),
        (HTTPS, {"https_proxy": "", "HTTPS_PROXY": Q}, Q),
        (HTTPS, {"HTTP_PROXY": P, "http_proxy": P}, None),
        (HTTPS, {"ALL_PROXY": P}, P),
        (HTTPS, {"all_proxy": P, "HTTPS_PROXY": Q}, Q),
        (HTTP, {"HTTP_PROXY": P}, P),
        (HTTP, {"HTTPS_PROXY": P}, None),
        (HTTP, {"all_proxy": P}, P),
        (HTTP, {"HTTP_PROXY": P, "REQUEST_METHOD": "GET"}, None),
        (HTTP, {"http_proxy": P, "REQUEST_METHOD": "GET"}, P),
        (HTTPS, {"HTTPS_PROXY": P, "REQUEST_METHOD": "GET"}, P),
        (HTTPS, {"HTTPS_PROXY": "proxy:3128"}, P),
        (HTTPS, {"HTTPS_PROXY": "http://user:p%40ss@proxy:3128/"}, "http://user:p%40ss@proxy:3128/"),
        ("http://localhost:11434", {"ALL_PROXY": P}, None),
        ("http://127.0.0.9:4010/v1", {"ALL_PROXY": P}, None),
        ("http://[::1]:4010/v1", {"ALL_PROXY": P}, None),
    ],
)
def test_which_proxy(base_url: str, environ: dict[str, str], expected: str | None) -> None:
    assert proxy_for(base_url, environ) == expected


@pytest.mark.parametrize(
    ("no_proxy", "base_url", "direct"),
    [
        ("*", HTTPS, True),
        ("example.com", HTTPS, True),
        (".example.com", HTTPS, True),
        (".example.com", "https://example.com", True),
        ("*.example.com", HTTPS, True),
        ("api.example.com", HTTPS, True),
        ("API.Example.COM", HTTPS, True),
        ("api.example.com", "https://api.example.com./v1", True),
        ("ample.com", HTTPS, False),
        ("example.com.evil.org", HTTPS, False),
        ("foo, example.com ,bar", HTTPS, True),
        ("foo example.com", HTTPS, True),
        ("", HTTPS, False),
        (",. ,", HTTPS, False),
        ("api.example.com:443", HTTPS, True),
        ("api.example.com:444", HTTPS, False),
        ("models.example.com:8000", HTTP, True),
        ("models.example.com:80", HTTP, False),
        ("10.0.0.0/8", "http://10.1.2.3", True),
        ("10.0.0.1/8", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.0.0.0/8", HTTPS, False),
        ("10.0.0.0/99", "http://10.1.2.3", False),
        ("10.1.2.3", "http://10.1.2.3", True),
        ("10.1.2.3:81", "http://10.1.2.3", False),
        ("2.3", "http://10.1.2.3", False),
        ("fd00::/8", "http://[fd00::1]", True),
        ("fd00::1", "http://[fd00::1]", True),
        ("[fd00::1]:80", "http://[fd00::1]", True),
        ("[fd00::1]:81", "http://[fd00::1]", False),
        ("0.0.0.0/0", "http://[fd00::1]", False),
    ],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_no_proxy(no_proxy: str, base_url: str, direct: bool, name: str) -> None:
    assert proxy_for(base_url, {"ALL_PROXY": P, name: no_proxy}) == (None if direct else P)


def test_a_proxy_taken_apart() -> None:
    proxy = parse_proxy("http://us%20er:p%40ss@proxy.example:3128/")
    assert (proxy.host, proxy.port, proxy.authorization) == ("proxy.example", 3128, b"Basic dXMgZXI6cEBzcw==")
    assert "p@ss" not in repr(proxy)
    assert (parse_proxy("proxy").port, parse_proxy("proxy").authorization) == (80, None)
    assert parse_proxy("http://[::1]:3128").host == "::1"
    assert parse_proxy("http://user@proxy").authorization == b"Basic dXNlcjo="


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("socks5://u:hunter2@proxy:1080", "socks5 proxies are not supported"),
        ("socks5h://proxy", "socks5h proxies are not supported"),
        ("https://u:hunter2@proxy", "begins with http://"),
        ("http://u:hunter2@proxy:port", "malformed"),
        ("http://u:hunt/er2@proxy", "malformed"),
        ("http://u:hunter2@", "malformed"),
        ("http://u:hunter2@proxy/path", "malformed"),
        ("http://u:hunter2@proxy\n:80", "malformed"),
        ("http://u:hunter2@pro xy", "malformed"),
        ("http://[::1", "malformed"),
        ("", "malformed"),
    ],
)
def test_what_is_no_proxy(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        parse_proxy(url)
    assert "hunt" not in str(caught.value)
    if url:
        with pytest.raises(ValueError, match=f"environment variable HTTPS_PROXY: .*{problem}"):
            proxy_for(HTTPS, {"HTTPS_PROXY": url})


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=40))
def test_any_text_gives_a_proxy_none_or_a_value_error(url: str, no_proxy: str) -> None:
    try:
        found = proxy_for(HTTPS, {"HTTPS_PROXY": url, "NO_PROXY": no_proxy})
    except ValueError:
        return
    assert found is None or parse_proxy(found).host
