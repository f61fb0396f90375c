"""An endpoint as the transport uses it: taken apart once, with the bytes that every request repeats ready-made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from gateway.config.proxies import Proxy, parse_proxy
from gateway.config.snapshot import Endpoint
from gateway.upstream.transport import Unreachable

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PREFIXES = 256
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_BASE_URL_FORM = "base_url must be http://host[:port]/path or https://..., in ASCII and without credentials"
_BASE_URL = re.compile(r"[\x21-\x7e]+")
_REQUEST_TARGET = re.compile(rb"[\x21-\x7e]*")


class Destination(NamedTuple):
    """What makes two connections interchangeable. The proxy's URL may hold a password: the repr leaves it out."""

    scheme: str
    host: str
    port: int
    proxy: str | None
    ca_file: Path | None
    verify_tls: bool

    @property
    def origin(self) -> str:
        """`host:port`, for messages and for CONNECT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Destination {self.scheme}://{self.origin}>"


class Target:
    """One `Endpoint`: where its connections go, and the head that its requests share.

    Raises Unreachable for an endpoint that cannot be one; the message never holds a header's value or credentials.
    """

    __slots__ = ("_base_path", "_shared_lines", "destination", "endpoint", "prefixes")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        try:
            proxy = parse_proxy(endpoint.proxy) if endpoint.proxy else None
        except ValueError as error:
            raise Unreachable(f"provider {endpoint.provider}: {error}", sent=False) from None
        parts, port = _split(endpoint)
        if not parts.hostname or not port:
            raise Unreachable(f"provider {endpoint.provider}: {_BASE_URL_FORM}", sent=False)
        self.destination = Destination(
            parts.scheme, parts.hostname, port, endpoint.proxy or None, endpoint.ca_file, endpoint.verify_tls
        )
        self._base_path = parts.path.rstrip("/").encode()
        if proxy is not None and parts.scheme == "http":
            self._base_path = f"http://{parts.netloc}".encode() + self._base_path
        self._shared_lines = self._lines(parts.netloc, proxy if parts.scheme == "http" else None)
        self.prefixes: dict[tuple[bytes, bytes], bytes] = {}
        """Request line and shared header lines by method and path; `prefix` fills it."""

    def prefix(self, method: bytes, path: bytes) -> bytes:
        """The request's head up to the headers that differ by request. Raises ValueError for an impossible path."""
        if _REQUEST_TARGET.fullmatch(path) is None:
            raise ValueError("a request's path is printable ASCII without blanks")
        if len(self.prefixes) >= _MAX_PREFIXES:
            self.prefixes.clear()
        made = b"%b %b%b HTTP/1.1\r\n%b" % (method, self._base_path, path, self._shared_lines)
        self.prefixes[method, path] = made
        return made

    def _lines(self, host: str, proxy: Proxy | None) -> bytes:
        """The header lines of every request. `proxy` is one that sees them all, and wants its credentials on each."""
        lines = [b"Host: %b\r\nAccept-Encoding: identity\r\n" % host.encode()]
        for name, value in self.endpoint.headers:
            if _HEADER_NAME.fullmatch(name) is None:
                message = f"provider {self.endpoint.provider}: a configured header has an impossible name"
                raise Unreachable(message, sent=False)
            if _NOT_IN_VALUE.search(value) is not None:
                message = f"provider {self.endpoint.provider}: the value of header {name} holds a control character"
                raise Unreachable(message, sent=False)
            lines.append(b"%b: %b\r\n" % (name.encode(), value.encode()))
        if proxy is not None and proxy.authorization is not None:
            lines.append(b"Proxy-Authorization: %b\r\n" % proxy.authorization)
        return b"".join(lines)


def _split(endpoint: Endpoint) -> tuple[SplitResult, int]:
    """The base URL's parts and its port; 0 for a URL that cannot be a base. Errors of urllib could quote a password."""
    try:
        parts = urlsplit(endpoint.base_url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        raise Unreachable(f"provider {endpoint.provider}: {_BASE_URL_FORM}", sent=False) from None
    plain = parts.username is None and not parts.query and not parts.fragment
    return parts, port if plain and parts.scheme in _DEFAULT_PORTS and _BASE_URL.fullmatch(endpoint.base_url) else 0
