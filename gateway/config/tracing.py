"""The written `tracing` section into its settings."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import urlsplit

from gateway.config.models import RawConfig
from gateway.config.snapshot import TracingSettings
from gateway.config.validate import Tree

_PATH = "/v1/traces"


def build_tracing(raw: RawConfig, tree: Tree) -> TracingSettings | None:
    """The settings; None without a collector. What stands against them is reported."""
    written = raw.tracing
    if written.endpoint is None:
        return None
    if not _sdk_installed():
        tree.complain(("tracing",), "needs OpenTelemetry: `pip install 'farebox[otel]'`")
    if written.content and not raw.storage.record_content:
        tree.complain(("tracing", "content"), "has nothing to send: `storage.record_content` is off")
    if "@" in urlsplit(written.endpoint).netloc:
        tree.complain(("tracing", "endpoint"), "credentials do not belong into a URL: use `headers`")
    endpoint = written.endpoint.rstrip("/")
    return TracingSettings(
        endpoint=endpoint if endpoint.endswith(_PATH) else endpoint + _PATH,
        headers=tuple((name, str(value)) for name, value in written.headers.items()),
        service_name=written.service_name,
        sample_ratio=float(written.sample_ratio),
        content=written.content,
    )


def _sdk_installed() -> bool:
    try:
        return (
            find_spec("opentelemetry.sdk") is not None
            and find_spec("opentelemetry.exporter.otlp.proto.http") is not None
        )
    except ModuleNotFoundError:  # of the package above
        return False
