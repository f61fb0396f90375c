"""What people wrote into the `Snapshot` that the gateway runs on."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path

from gateway.config.agents import build_agents
from gateway.config.alerts import build_alerts
from gateway.config.catalog import CatalogBuilder
from gateway.config.endpoints import build_endpoints, existing_file
from gateway.config.left_out import LeftOut
from gateway.config.limits import build_budgets, build_rate_limits, limits_version
from gateway.config.models import RawConfig
from gateway.config.models.identity import unix_seconds
from gateway.config.models.server import Server
from gateway.config.policies import assign, load_policies, names_in
from gateway.config.prices import Prices, load_table
from gateway.config.problems import ConfigError, YamlPath, dotted
from gateway.config.references import check_references
from gateway.config.resilience import build_resilience
from gateway.config.snapshot import (
    AdminSettings,
    MetricsSettings,
    QueueSettings,
    ResponseSettings,
    RunSettings,
    ServerSettings,
    SimulatorSettings,
    Snapshot,
    TlsFiles,
)
from gateway.config.sources import Sources
from gateway.config.storage import build_storage, check_retention
from gateway.config.surroundings import Names, Surroundings
from gateway.config.tracing import build_tracing
from gateway.config.validate import Tree, report_types, what_is_left
from gateway.config.warnings import find_warnings
from gateway.identity.keys import KeyRecord, key_digest
from gateway.pricing.cache import PriceTableError
from gateway.pricing.table import PriceTable
from routing.catalog import Catalog, Model

TableLoader = Callable[[Path], PriceTable]

ADMIN_KEY_CHARS = 16
"""Fewer can be guessed, and the admin key opens everything."""


def resolve_wildcard(snapshot: Snapshot, name: str) -> Model | None:
    """The model that a wildcard such as `openai/*` makes of `name`; None when none fits.

    Its deployment has no price when none is known and `unpriced` is `deny`. Answers are kept with the snapshot.
    """
    return None if snapshot.wildcards is None else snapshot.wildcards.resolve(name)


class Compiler:
    """Compiles one configuration, once."""

    def __init__(self, sources: Sources, path: Path, environ: Mapping[str, str], policy: Path | None = None) -> None:
        """`policy`: a file whose policy takes the place of the one with its name."""
        self._policy = policy
        self._sources = sources
        self._path = path
        self._folder = path.parent
        self._environ = environ
        document = sources.document
        self._tree = Tree(document, RawConfig, document.data)

    def compile(self, version: int, secret_files: list[Path], table: TableLoader = load_table) -> Snapshot:
        """The snapshot. Raises ConfigError with everything that is wrong."""
        tree = self._tree
        raw, names, left_out = self._read()
        endpoints = build_endpoints(raw.providers, tree, self._folder, self._environ)
        storage = build_storage(raw.storage, tree, self._folder)
        builder = self._catalog_builder(raw, storage.dir, table)
        catalog, wildcards = builder.build() if builder is not None else (Catalog({}), None)
        self._check_policies(raw)
        around = Surroundings(names, catalog, wildcards)
        policies = load_policies(self._folder / raw.policies, around, self._policy)
        agent_policies = assign(raw, tree, policies)
        server, admin, keys, auth = self._server(raw.server), self._admin(raw), self._keys(raw), self._auth(raw)
        self._check_ports(raw)
        agents, budgets = build_agents(raw), build_budgets(raw.budgets, tree)
        check_retention(raw.storage, budgets, raw.runs.ttl_s, tree)
        rate_limits, tracing = build_rate_limits(raw.limits), build_tracing(raw, tree)
        alerts = build_alerts(raw.alerts, tree, self._folder, self._environ)
        if problems := tree.document.problems + policies.problems:
            raise ConfigError(problems)
        find_warnings(raw, tree, catalog, agents, (*budgets, *rate_limits))
        files = tuple(dict.fromkeys([*self._sources.files, self._folder / ".env", *secret_files, *policies.files]))
        folders = tuple(dict.fromkeys([*self._sources.folders, self._folder / raw.policies]))
        return Snapshot(
            version=version,
            source=self._path,
            files=files,
            auth=auth,
            anonymous_agent=raw.anonymous_agent,
            server=server,
            admin=admin,
            storage=storage,
            simulator=SimulatorSettings(**raw.simulator.model_dump()),
            metrics=MetricsSettings(**raw.metrics.model_dump()),
            tracing=tracing,
            alerts=alerts,
            endpoints=endpoints,
            catalog=reduce(Catalog.with_model, around.resolved.values(), catalog),
            agents=agents,
            keys=keys,
            left_out=left_out.lines(),
            policy_folder=self._folder / raw.policies,
            policies=tuple(policies.written),
            compiled_policies=policies.compiled,
            agent_policies=agent_policies,
            wildcards=wildcards,
            budgets=budgets,
            rate_limits=rate_limits,
            queue=QueueSettings(**raw.queue.model_dump()),
            runs=RunSettings(**raw.runs.model_dump()),
            responses=ResponseSettings(**raw.responses.model_dump()),
            limits_version=limits_version(files),
            resilience=build_resilience(raw),
            timeouts={} if builder is None else builder.timeouts,
            capacities=() if builder is None else tuple(builder.capacities),
            budget_status=raw.budget_status,
            warnings=tuple(map(str, sorted(tree.document.warnings + policies.warnings))),
            folders=folders,
        )

    def _read(self) -> tuple[RawConfig, Names, LeftOut]:
        """What is written, checked as far as each value says by itself; without what is optional and not configured."""
        check_references(self._tree)
        names = names_in(self._tree)
        left_out = LeftOut(self._tree)
        report_types(self._tree)
        left_out.prune()
        return what_is_left(self._tree, RawConfig), names, left_out

    def _check_policies(self, raw: RawConfig) -> None:
        """The folder may be missing as long as nobody asks for it."""
        if self._tree.has(("policies",)) and not os.path.isdir(self._folder / raw.policies):  # noqa: PTH112  # never raises
            self._tree.complain(("policies",), "no such folder")

    def _catalog_builder(self, raw: RawConfig, storage: Path, table: TableLoader) -> CatalogBuilder | None:
        try:
            return CatalogBuilder(raw, self._tree, Prices(table(storage), raw.unpriced))
        except PriceTableError as error:
            self._tree.complain((), str(error))
        return None

    def _server(self, written: Server) -> ServerSettings:
        for index, network in enumerate(written.trusted_proxies):
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                path: YamlPath = ("server", "trusted_proxies", index)
                self._tree.complain(path, "should be an address or a network, such as `10.0.0.0/8`")
        tls = None
        if written.tls is not None:
            at: YamlPath = ("server", "tls")
            tls = TlsFiles(
                existing_file(self._tree, (*at, "certificate"), self._folder, written.tls.certificate),
                existing_file(self._tree, (*at, "key"), self._folder, written.tls.key),
            )
        settings = {**written.model_dump(), "tls": tls, "trusted_proxies": tuple(written.trusted_proxies)}
        return ServerSettings(**settings)

    def _admin(self, raw: RawConfig) -> AdminSettings:
        for name, key in (("key", raw.admin.key), ("viewer_key", raw.admin.viewer_key)):
            if key and len(str(key)) < ADMIN_KEY_CHARS:
                hint = f"has fewer than {ADMIN_KEY_CHARS} characters: `openssl rand -hex 32` makes one nobody guesses"
                self._tree.complain(("admin", name), hint)
        admin, viewer = (key_digest(str(key)) if key else None for key in (raw.admin.key, raw.admin.viewer_key))
        if admin is not None and admin == viewer:
            self._tree.complain(("admin", "viewer_key"), "is the same key as `key`")
        listen = raw.admin.listen
        if listen is None:
            return AdminSettings(admin, viewer)
        return AdminSettings(admin, viewer, listen.host, listen.port)

    def _auth(self, raw: RawConfig) -> bool:
        if not raw.auth:
            if not is_loopback(raw.server.host):
                self._tree.complain(("auth",), "`off` is for loopback addresses only: set `server.host` to 127.0.0.1")
            if raw.anonymous_agent is None and not self._tree.damaged(("anonymous_agent",)):
                self._tree.complain(("auth",), "`off` needs `anonymous_agent`: the agent that every caller then is")
        return raw.auth

    def _keys(self, raw: RawConfig) -> tuple[KeyRecord, ...]:
        records: dict[bytes, tuple[str, KeyRecord]] = {}
        for name, written in raw.keys.items():
            path: YamlPath = ("keys", name)
            if written.sha256 is None and not written.key:
                self._tree.complain((*path, "key"), "is empty")
                continue
            digest = bytes.fromhex(written.sha256) if written.sha256 is not None else key_digest(str(written.key))
            if digest in records:
                self._tree.complain(path, f"the same key as {dotted(('keys', records[digest][0]))}", key=True)
            record = KeyRecord(
                id=f"config:{name}",
                sha256=digest,
                agent=written.agent,
                name=name,
                allowed_models=None if written.allowed_models is None else frozenset(written.allowed_models),
                expires_at_s=None if written.expires is None else unix_seconds(written.expires),
            )
            records[digest] = (name, record)
        return tuple(record for _, record in records.values())

    def _check_ports(self, raw: RawConfig) -> None:
        listeners: list[tuple[YamlPath, str, int]] = [(("server", "port"), raw.server.host, raw.server.port)]
        if raw.admin.listen is not None:
            listeners.append((("admin", "listen", "port"), raw.admin.listen.host, raw.admin.listen.port))
        if raw.simulator.enabled:
            listeners.append((("simulator", "port"), raw.simulator.host, raw.simulator.port))
        taken: dict[tuple[str, int], YamlPath] = {}
        for path, host, port in listeners:
            if port and (first := taken.setdefault((host, port), path)) is not path:
                self._tree.complain(path, f"the same address and port as {dotted(first)}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
