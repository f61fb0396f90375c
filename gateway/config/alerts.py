"""The written `alerts` section into its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from gateway.config.durations import parse_duration
from gateway.config.endpoints import existing_file
from gateway.config.models.alerts import Alerts, Sink
from gateway.config.problems import YamlPath
from gateway.config.proxies import proxy_for
from gateway.config.snapshot import AlertSettings, AlertSink, Endpoint, Timeouts
from gateway.config.validate import Tree

_TIMEOUTS = Timeouts(connect_s=5.0, first_byte_s=10.0, idle_s=5.0, total_s=15.0)
_MAX_ANSWER_BYTES = 65_536
_HTTP = ("http", "https")


def build_alerts(written: Alerts, tree: Tree, folder: Path, environ: Mapping[str, str]) -> AlertSettings:
    """The settings. What stands against them is reported, never with a URL: whoever knows it can post."""
    sinks = []
    for name, sink in written.sinks.items():
        path: YamlPath = ("alerts", "sinks", name)
        if sink.type == "log":
            sinks.append(AlertSink(name, sink.type, _kinds(sink)))
        elif sink.url and (parts := _parts(str(sink.url), path, tree)) is not None:
            endpoint = _endpoint(sink, parts, path, tree, folder, environ)
            query = f"?{parts.query}" if parts.query else ""
            sinks.append(AlertSink(name, sink.type, _kinds(sink), endpoint, f"{parts.path}{query}".encode()))
    return AlertSettings(tuple(sinks), parse_duration(written.repeat), tuple(written.links.items()))


def _kinds(sink: Sink) -> frozenset[str] | None:
    return None if sink.kinds is None else frozenset(sink.kinds)


def _parts(url: str, path: YamlPath, tree: Tree) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in _HTTP and bool(parts.hostname) and (parts.port or 1) > 0 and parts.username is None
    except ValueError:
        fine = False
    if not fine or not url.isascii() or not url.isprintable() or " " in url:
        tree.complain((*path, "url"), "what the reference stands for should be a URL: https://host/path")
        return None
    return parts


def _endpoint(  # noqa: PLR0917 -- all of them are the place and its surroundings
    sink: Sink, parts: SplitResult, path: YamlPath, tree: Tree, folder: Path, environ: Mapping[str, str]
) -> Endpoint:
    base_url = f"{parts.scheme}://{parts.netloc}"
    proxy = None
    try:
        proxy = proxy_for(base_url, environ)
    except ValueError as error:
        tree.complain((*path, "url"), str(error))
    ca_file = None if sink.ca_file is None else existing_file(tree, (*path, "ca_file"), folder, sink.ca_file)
    headers = tuple([(name, str(value)) for name, value in sink.headers.items()])
    return Endpoint(
        provider=f"alerts.sinks.{path[-1]}",
        base_url=base_url,
        headers=headers,
        timeouts=_TIMEOUTS,
        ca_file=ca_file,
        proxy=proxy,
        max_connections=1,
        max_response_bytes=_MAX_ANSWER_BYTES,
    )
