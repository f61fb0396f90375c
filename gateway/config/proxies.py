"""Forward proxies: which one the environment names for a base URL, and what a proxy's URL may be.

    HTTPS_PROXY, HTTP_PROXY   by the base URL's scheme; the lower-case name wins
    ALL_PROXY                 when the one above is unset
    NO_PROXY                  hosts reached directly

`HTTP_PROXY` in upper case is ignored when `REQUEST_METHOD` is set: in a CGI process a client's `Proxy:` header becomes
that variable (CVE-2016-5385). Loopback addresses never go through an environment's proxy, which could not reach them.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MALFORMED = "the proxy's URL is malformed: write http://[user:password@]host:port"
_URL = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """An HTTP proxy. May hold a password: it has no repr."""

    host: str
    port: int
    authorization: bytes | None
    """The value of Proxy-Authorization, when the URL has a user."""


def parse_proxy(url: str) -> Proxy:
    """Take apart `http://[user[:password]@]host[:port]`.

    Raises ValueError with a message for people, without the URL's credentials, for anything else: SOCKS proxies and
    TLS to the proxy itself are not supported.
    """
    if _URL.fullmatch(url) is None:
        raise ValueError(_MALFORMED)
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        raise ValueError(_MALFORMED) from None
    if parts.scheme.startswith("socks"):
        raise ValueError(
            f"{parts.scheme} proxies are not supported: use an HTTP proxy, http://[user:password@]host:port"
        )
    if parts.scheme != "http":
        raise ValueError(
            f"a proxy's URL begins with http://, not {parts.scheme}:// (tunnels to https upstreams are http:// too)"
        )
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(_MALFORMED)
    return Proxy(parts.hostname, port or 80, _basic(parts))


def _basic(parts: SplitResult) -> bytes | None:
    if parts.username is None:
        return None
    credentials = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or "")
    return b"Basic " + b64encode(credentials)


def proxy_for(base_url: str, environ: Mapping[str, str]) -> str | None:
    """The URL of the proxy that the environment wants for `base_url`, or None for a direct connection.

    Raises ValueError like `parse_proxy`, naming the variable.
    """
    parts = urlsplit(base_url)
    host, port = (parts.hostname or "").rstrip("."), parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    found = _variable(parts.scheme, environ)
    if found is None or _is_loopback(host) or _excluded(host, port, _either_case("no_proxy", environ)):
        return None
    name, value = found
    try:
        parse_proxy(value)
    except ValueError as error:
        raise ValueError(f"environment variable {name}: {error}") from None
    return value if "://" in value else f"http://{value}"


def _variable(scheme: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The first variable that is set and not empty, with its value."""
    for stem in (f"{scheme}_proxy", "all_proxy"):
        for name in (stem, stem.upper()):
            if name == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
                continue
            value = environ.get(name, "").strip()
            if value:
                return name, value
    return None


def _either_case(name: str, environ: Mapping[str, str]) -> str:
    return environ.get(name) or environ.get(name.upper(), "")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _excluded(host: str, port: int, no_proxy: str) -> bool:
    """Whether one of NO_PROXY's entries, split at commas and blanks, covers the host."""
    return any(_covers(entry.lower(), host, port) for entry in re.split(r"[,\s]+", no_proxy) if entry)


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        try:
            network = ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            return False
        return address is not None and address.version == network.version and address in network
    entry, wanted_port = _split_port(entry)
    if wanted_port is not None and wanted_port != port:
        return False
    entry_address = _address(entry)
    if entry_address is not None or address is not None:
        return entry_address == address
    suffix = entry.removeprefix("*").strip(".")
    return bool(suffix) and (host == suffix or host.endswith("." + suffix))


def _split_port(entry: str) -> tuple[str, int | None]:
    """`host:port`, `[v6]:port`, `[v6]`, bare IPv6 and plain hosts, as host and port."""
    match = re.fullmatch(r"\[(?P<v6>[^\]]*)\](?::(?P<v6_port>\d+))?|(?P<host>[^:]*):(?P<port>\d+)", entry)
    if match is None:
        return entry, None
    port = match["port"] or match["v6_port"]
    host = match["v6"] if match["v6"] is not None else match["host"]
    return host, int(port) if port else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
