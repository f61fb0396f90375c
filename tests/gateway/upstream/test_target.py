from __future__ import annotations

import pytest

from gateway.config.snapshot import Endpoint
from gateway.upstream.target import Destination, Target
from gateway.upstream.transport import Unreachable


@pytest.mark.parametrize(
    ("base_url", "origin", "host_line"),
    [
        ("https://api.example/v1", "api.example:443", b"Host: api.example\r\n"),
        ("http://api.example:80/v1/", "api.example:80", b"Host: api.example:80\r\n"),
        ("http://[::1]:8000", "[::1]:8000", b"Host: [::1]:8000\r\n"),
    ],
)
def test_where_it_goes(base_url: str, origin: str, host_line: bytes) -> None:
    target = Target(Endpoint("acme", base_url, ()))
    assert target.destination.origin == origin
    assert host_line in target.prefix(b"GET", b"/x")


def test_prefixes_are_made_once_and_their_number_is_bounded() -> None:
    target = Target(Endpoint("acme", "https://api.example/v1", ()))
    made = target.prefix(b"GET", b"/models")
    assert made.startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert target.prefixes[b"GET", b"/models"] is made
    for number in range(1000):
        target.prefix(b"GET", b"/models/%d" % number)
    assert len(target.prefixes) <= 256


@pytest.mark.parametrize("path", [b"/a b", b"/a\r\nx: y", b"/\x00", b"/\xff"])
def test_a_path_cannot_add_to_the_head(path: bytes) -> None:
    with pytest.raises(ValueError, match="path"):
        Target(Endpoint("acme", "https://api.example/v1", ())).prefix(b"GET", path)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.example",
        "ftp://api.example",
        "http://",
        "http://h:99999",
        "http://h:sk-secret",
        "http://user:sk-secret@h",
        "http://user:sk-/secret@h",
        "http://h/?key=sk-secret",
        "http://h/#sk-secret",
        "http://h/sk-secret\n",
        "http://hä",
        "http://[::1",
        "http://h/\udcff",
    ],
)
def test_an_impossible_base_url(base_url: str) -> None:
    with pytest.raises(Unreachable, match="provider acme: base_url must be") as caught:
        Target(Endpoint("acme", base_url, ()))
    assert "secret" not in str(caught.value)
    assert not caught.value.sent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "sk-secret\r\nx: y"),
        ("authorization", "sk-secret\n"),
        ("x", "sk-secret\x00"),
        ("x", "sk-secret\udcff"),
        ("sk-secret name", "x"),
        ("", "sk-secret"),
    ],
)
def test_a_configured_header_cannot_add_to_the_head_nor_show_itself(name: str, value: str) -> None:
    with pytest.raises(Unreachable, match=r"provider acme: .*header") as caught:
        Target(Endpoint("acme", "https://api.example/v1", ((name, value),)))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_destination_does_not_show_its_proxy() -> None:
    destination = Destination("https", "::1", 443, "http://u:hunter2@p", None, True)
    assert repr(destination) == "<Destination https://[::1]:443>"
