"""Written providers into `Endpoint`s: dialects, credentials, time-outs, certificates, proxies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.config.dialects import DIALECTS, lacks_prefix, natives_of, recognise
from gateway.config.litellm_sdk import sdk_of
from gateway.config.models.providers import Provider
from gateway.config.problems import YamlPath
from gateway.config.proxies import parse_proxy, proxy_for
from gateway.config.snapshot import Endpoint, Timeouts
from gateway.config.validate import Tree

_ANYWHERE = "https://provider.invalid"
"""What stands for the URL of a provider whose own only an SDK knows: it decides on the environment's proxy."""


def build_endpoints(
    providers: Mapping[str, Provider], tree: Tree, folder: Path, environ: Mapping[str, str]
) -> dict[str, Endpoint]:
    """An endpoint for each provider; what stands against one is reported."""
    return {name: _endpoint(name, written, tree, folder, environ) for name, written in providers.items()}


def _endpoint(name: str, written: Provider, tree: Tree, folder: Path, environ: Mapping[str, str]) -> Endpoint:
    path: YamlPath = ("providers", name)
    dialect = written.dialect or recognise(written.base_url or "")
    _check_api_version(path, written, dialect, tree)
    prefix = lacks_prefix(written.base_url or "")
    if prefix is not None:
        tree.warn((*path, "base_url"), f"has no path; this provider's API is below `{prefix}`")
    return Endpoint(
        provider=name,
        base_url=(written.base_url or "").rstrip("/"),
        headers=_headers(path, written, dialect, tree),
        dialect=dialect,
        api_version=written.api_version,
        timeouts=Timeouts(**written.timeouts.model_dump()),
        ca_file=None if written.ca_file is None else existing_file(tree, (*path, "ca_file"), folder, written.ca_file),
        verify_tls=written.verify_tls,
        proxy=_proxy(path, written, tree, environ),
        max_connections=written.max_connections,
        keepalive_s=written.keepalive_s,
        max_response_bytes=written.max_response_bytes,
        litellm=sdk_of(written),
        probe_s=written.health.probe_s,
        natives=frozenset(natives_of(dialect, written.base_url or "") if written.natives is None else written.natives),
    )


def _check_api_version(path: YamlPath, written: Provider, dialect: str, tree: Tree) -> None:
    """Azure's API has no versions below `/openai/v1`, and must be told one everywhere else."""
    if dialect != "azure":
        if written.api_version is not None:
            tree.complain((*path, "api_version"), f"is Azure's; the dialect here is `{dialect}`")
        return
    told = written.api_version is not None or str(written.base_url).rstrip("/").endswith("/v1")
    if not (told or tree.damaged((*path, "base_url")) or tree.damaged((*path, "api_version"))):
        tree.complain(path, "needs `api_version`, unless `base_url` ends with `/openai/v1`", key=True)


def _headers(path: YamlPath, written: Provider, dialect: str, tree: Tree) -> tuple[tuple[str, str], ...]:
    name_of_key, before_key = DIALECTS[dialect].credentials
    headers = [(name, str(value)) for name, value in written.headers.items()]
    if written.api_key and name_of_key:
        if not (written.api_key.isascii() and written.api_key.isprintable()):
            tree.complain((*path, "api_key"), "a key is one line of ASCII text; what the reference stands for is not")
        if any(name.lower() == name_of_key.lower() for name, _ in headers):
            tree.complain((*path, "headers"), f"has an {name_of_key} header although there is an `api_key`")
        headers.insert(0, (name_of_key, before_key + str(written.api_key)))
    return tuple(headers)


def _proxy(path: YamlPath, written: Provider, tree: Tree, environ: Mapping[str, str]) -> str | None:
    if written.proxy == "none" or tree.damaged((*path, "base_url")):
        return None
    try:
        if written.proxy is None:
            return proxy_for(written.base_url or _ANYWHERE, environ)
        parse_proxy(written.proxy)
    except ValueError as error:
        tree.complain((*path, "proxy"), str(error))
        return None
    return str(written.proxy)


def existing_file(tree: Tree, path: YamlPath, folder: Path, written: str) -> Path:
    """A file that a setting names, relative to the configuration. Reported when it cannot be read."""
    file = folder / written
    try:
        with file.open("rb"):
            pass
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a file's name"
        tree.complain(path, f"the file cannot be read: {reason}")
    return file
