"""What the APIs answer from, besides the pipeline: models, keys, costs, health. One per process; no ASGI in here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from gateway import __version__
from gateway.config.compile import resolve_wildcard
from gateway.config.reload import SnapshotHolder
from gateway.config.snapshot import Snapshot
from gateway.errors import ServiceUnavailable
from gateway.feedback import Feedback
from gateway.governance import Governance
from gateway.identity.keyring import KeyRing
from gateway.identity.keys import KeyRecord, Principal
from gateway.journal.database import JournalError
from gateway.journal.keystore import KeyStore
from gateway.journal.keysync import KeySync
from gateway.journal.queries import AgentTotal, RequestCost, request_cost, totals
from gateway.journal.writer import Journal
from gateway.ledger.budgets import Quota, RateLimit
from gateway.ledger.scopes import Labels
from gateway.pipeline import Pipeline, claimed_names, may_use
from gateway.reports.availability import Available, upstream_state
from gateway.reports.explain import Explanation, Question, explain_live
from gateway.responses import Responses
from gateway.telemetry.events import ChargePosted
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.upstream.health import UpstreamHealth
from routing.catalog import Model
from routing.money import format_usd


class CatalogModels:
    """Finds models by name, wildcards included."""

    def find(self, snapshot: Snapshot, name: str) -> Model | None:
        """The model, alias or wildcard's expansion; None when there is none."""
        return snapshot.catalog.find(name) or resolve_wildcard(snapshot, name)

    def suggest(self, snapshot: Snapshot, name: str) -> str | None:
        """The nearest name that exists."""
        names = [*snapshot.catalog.models, *snapshot.catalog.aliases]
        return next(iter(get_close_matches(name, names, n=1)), None)


class Door:
    """Whether the process takes on more requests."""

    def __init__(self, journal: Journal) -> None:
        self.draining = False
        self._journal = journal

    def refusal(self) -> ServiceUnavailable | None:
        """Why not, or None."""
        if self.draining:
            return ServiceUnavailable("The gateway is being stopped; try again, another one may answer.")
        if not self._journal.keeps_up:
            return ServiceUnavailable(
                "The gateway's journal cannot be written fast enough, and no call goes unrecorded. Its operator "
                "should look at the disk and the log; try again.",
                reason="journal",
            )
        return None


class Parts(NamedTuple):
    """What the services are made of."""

    journal: Journal
    keystore: KeyStore
    keyring: KeyRing
    keysync: KeySync
    pipeline: Pipeline
    models: CatalogModels
    door: Door
    recorder: Recorder
    metrics: Metrics
    connections: Callable[[], Mapping[str, int]]
    """Upstream connections by state."""
    governance: Governance
    flush: Callable[[], Awaitable[None]]
    """Returns when everything recorded so far is in the journal. Raises JournalError."""
    store_status: Callable[[], dict[str, Any]]
    available: Available
    """Whether a deployment may be called now, as far as breakers know."""
    health: UpstreamHealth
    feedback: Feedback
    responses: Responses


class Services:
    """The gateway, as its APIs see it. Owns nothing: the application makes and ends what it is given here."""

    def __init__(self, snapshots: SnapshotHolder, parts: Parts) -> None:
        self._snapshots = snapshots
        self._parts = parts
        self.pipeline = parts.pipeline
        self.governance = parts.governance
        self.feedback = parts.feedback
        """For `/v1/feedback`."""
        self.responses = parts.responses
        """For `/v1/responses` and `/v1/conversations`."""
        self.upstream_health = parts.health
        """Breakers, and what providers refuse."""
        self._started_s = time.monotonic()
        self.ready = False

    @property
    def snapshot(self) -> Snapshot:
        """The configuration in force."""
        return self._snapshots.current

    # --- for /v1 ---

    def find_model(self, name: str) -> Model | None:
        """A model, alias or wildcard's expansion."""
        return self._parts.models.find(self.snapshot, name)

    async def request_cost(self, request_id: str, agent: str | None) -> dict[str, Any] | None:
        """What a request cost, with each of its charges; None when the journal has none, or it is another agent's."""
        await self._flushed()
        found = await request_cost(self._parts.journal, request_id, agent)
        return None if found is None else cost_object(found)

    def me(self, principal: Principal) -> dict[str, Any]:
        """Who a key is, what it may call, and its limits; its budgets are `governance.covering(principal)`."""
        snapshot = self.snapshot
        record = self._parts.keyring.record(principal.key_id)
        names = [*snapshot.catalog.models, *snapshot.catalog.aliases]
        labels = Labels(principal.org, principal.team, principal.agent, "", "")
        return {
            "object": "principal",
            "org": principal.org,
            "team": principal.team,
            "agent": principal.agent,
            "run": principal.run,
            "key": None if record is None else key_object(record),
            "models": list(
                dict.fromkeys(
                    [name for name in names if may_use(snapshot, principal, name)] + claimed_names(snapshot, principal)
                )
            ),
            "limits": {
                "max_body_bytes": snapshot.server.max_body_bytes,
                "rates": [rate_object(limit) for limit in snapshot.rate_limits if limit.scope.values(labels)],
            },
        }

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status and body of /healthz: the process answers."""
        return 200, {"status": "ok", "version": __version__}

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """Status and body of /readyz: whether to send requests here.

        Providers that are down do not count: another gateway could not reach them either, and what clients are told
        here is better than nobody who tells them anything.
        """
        ready = self.ready and self._parts.door.refusal() is None
        status = "ready" if ready else "draining" if self._parts.door.draining else "not_ready"
        return (200 if ready else 503), {"status": status, **self._state(), **self._upstream()}

    def _upstream(self) -> dict[str, Any]:
        return upstream_state(self.snapshot.catalog.models, self._parts.available)

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """The exposition, up to this moment, and its content type."""
        self._parts.recorder.flush()
        return await self._parts.metrics.render(accept)

    def _state(self) -> dict[str, Any]:
        journal, reason = self._parts.journal, self._snapshots.stale_reason
        state: dict[str, Any] = {
            "config": "current" if reason is None else "stale",
            "config_version": self.snapshot.version,
            "journal": "ok" if journal.healthy else "failing",
            "journal_pending_rows": journal.pending,
            **self._parts.store_status(),
            "models": len(self.snapshot.catalog.models),
        }
        if reason is not None:
            state["config_error"] = reason
        return state

    # --- for /admin/v1 ---

    def status(self) -> dict[str, Any]:
        """Version, uptime, configuration, journal."""
        return {
            "version": __version__,
            "uptime_s": round(time.monotonic() - self._started_s, 3),
            "config_source": str(self.snapshot.source),
            "left_out": list(self.snapshot.left_out),
            "upstream_connections": self._parts.connections(),
            "refused_credentials": self.upstream_health.refused_credentials,
            **self._state(),
        }

    async def reload(self) -> str | None:
        """Read the configuration again; why it was refused, or None."""
        await self._snapshots.reload()
        return self._snapshots.stale_reason

    async def principal(self, key: bytes) -> Principal | None:
        """Whose key it is, or None. Raises ServiceUnavailable."""
        return await self._parts.keysync.principal(key)

    async def keys(self) -> list[KeyRecord]:
        """All stored keys, and those of the configuration."""
        return [*self.snapshot.keys, *await self._parts.keystore.list()]

    async def create_key(
        self, agent: str, name: str, models: list[str] | None, expires_at_s: float | None
    ) -> tuple[str, KeyRecord]:
        """Make a key; the key itself is given this once."""
        allowed = None if models is None else frozenset(models)
        made = await self._parts.keystore.create(agent, name, allowed, expires_at_s)
        await self._parts.keysync.refresh()
        return made

    async def revoke_key(self, key_id: str) -> bool:
        """Revoke a stored key, here at once; False when there is none."""
        revoked = await self._parts.keystore.revoke(key_id)
        await self._parts.keysync.refresh()
        return revoked

    async def rotate_key(self, key_id: str, overlap_s: float | None) -> tuple[str, KeyRecord] | None:
        """Replace a stored key; None when there is none that works."""
        rotated = await self._parts.keystore.rotate(key_id, overlap_s)
        await self._parts.keysync.refresh()
        return rotated

    async def explain(self, question: Question) -> Explanation:
        """Which model a request would get now, and why. Raises FareboxError when it is none."""
        return await explain_live(self.pipeline.deciding, self.snapshot, question)

    def key_record(self, key_id: str) -> KeyRecord | None:
        """A key by its id."""
        return self._parts.keyring.record(key_id)

    async def totals(self, since_s: float) -> list[dict[str, Any]]:
        """Calls, tokens, cost and errors per agent since a Unix time."""
        await self._flushed()
        return [totals_object(row) for row in await totals(self._parts.journal, since_s)]

    async def _flushed(self) -> None:
        try:
            await self._parts.flush()
        except JournalError:
            pass  # what cannot be written can perhaps be read; what waits is not in the answer


def key_object(record: KeyRecord) -> dict[str, Any]:
    """A key as people may see it."""
    return {
        "id": record.id,
        "agent": record.agent,
        "name": record.name,
        "models": None if record.allowed_models is None else sorted(record.allowed_models),
        "created_at_s": record.created_at_s,
        "expires_at_s": record.expires_at_s,
        "revoked_at_s": record.revoked_at_s,
    }


def cost_object(found: RequestCost) -> dict[str, Any]:
    """A request and its charges as people may see them."""
    request = found.request
    return {
        "id": request.request_id,
        "object": "request",
        "created_at_s": request.at_s,
        "agent": request.agent,
        "run": request.run,
        "endpoint": request.endpoint,
        "model": request.model,
        "route": request.rule,
        "outcome": request.outcome,
        "status": request.status,
        "error_code": request.error_code or None,
        "latency_ms": request.latency_ms,
        "first_token_ms": request.first_token_ms,
        "cost_usd": format_usd(request.cost_nano_usd),
        "charges": [_charge_object(charge) for charge in found.charges],
    }


def _charge_object(charge: ChargePosted) -> dict[str, Any]:
    return {
        "id": charge.charge_id,
        "deployment": charge.deployment,
        "provider": charge.provider,
        "model": charge.upstream_model,
        "usage": {name: count for name, count in charge.usage._asdict().items() if count},
        "service_tier": charge.service_tier,
        "price_point": charge.price_point,
        "cost_usd": format_usd(charge.cost_nano_usd),
        "fee_usd": format_usd(charge.fee_nano_usd),
        "units": charge.units,
        "estimated": charge.estimated,
        "outcome": charge.outcome,
        "purpose": charge.purpose,
    }


def totals_object(total: AgentTotal) -> dict[str, Any]:
    """An agent's totals as people may see them."""
    return {
        "agent": total.agent,
        "requests": total.requests,
        "errors": total.errors,
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "cost_usd": format_usd(total.cost_nano_usd),
        "estimated_usd": format_usd(total.estimated_nano_usd),
    }


def rate_object(limit: RateLimit) -> dict[str, Any]:
    """A rate limit as people may see it."""

    def quota(of: Quota | None) -> dict[str, Any] | None:
        return None if of is None else {"limit": of.limit, "per_s": of.period_s, "burst": of.burst}

    return {
        "id": limit.id,
        "scope": str(limit.scope),
        "mode": "enforce" if limit.enforce else "shadow",
        "requests": quota(limit.requests),
        "tokens": quota(limit.tokens),
        "concurrency": limit.concurrency,
    }
