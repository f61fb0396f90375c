"""The request's path, one stage after the other. docs/architecture.md draws it.

authenticate   key -> Principal
read           body -> ModelRequest with its RequestProfile
attribute      headers, body -> Attribution, headers for the provider
guard          messages, the run's latest prompts -> a loop is noted, told or stopped
route          model -> Route: ordered candidates; the model's own, or those that the agent's policy decides for
exchange       attempt by attempt: admitted (budgets, rates and runs reserve the first candidate that fits, or the
               request waits or ends), called, relayed and settled, until the client has its answer
record         one RequestFinished for every identified request, refused ones too
"""

from __future__ import annotations

import asyncio
import logging
import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

from gateway.admission.labels import check_labels, in_run_of
from gateway.admission.watch import Watch
from gateway.config.snapshot import Snapshot
from gateway.context import RequestContext
from gateway.counting import count_here
from gateway.deciding.deciding import Deciding
from gateway.deciding.named import Named
from gateway.errors import (
    BudgetExceeded,
    BudgetReserved,
    FareboxError,
    InvalidKey,
    ModelNotAllowed,
    ModelNotFound,
    ModelNotPriced,
    ServiceUnavailable,
)
from gateway.exchange import CLIENT_CLOSED_REQUEST, Exchange, Upstreams
from gateway.identity.attribution import Headers, attribute
from gateway.identity.keys import Principal
from gateway.reply import ClientGone, IncomingCall, Reply, UploadingCall
from gateway.telemetry.events import KeyRefused, RequestStarted
from gateway.uploads import read_upload
from gateway.wire.native import RESPONSES
from gateway.wire.others import OTHERS, UPLOADS, read_other
from gateway.wire.requests import ModelRequest
from gateway.wire.tongues import read_any
from routing.catalog import Model
from routing.router import Route, route
from routing.rules import CompiledPolicy

log = logging.getLogger("farebox.pipeline")

_AUTO = "auto"
_WORDS = re.compile(r"[^\s,]+")


class Authenticator(Protocol):
    """Turns a key into who is calling."""

    async def principal(self, key: bytes) -> Principal | None:
        """The principal behind a key, or None for a key that is unknown, expired or revoked."""
        ...


class Models(Protocol):
    """Looks models up by the names clients use, wildcards included."""

    def find(self, snapshot: Snapshot, name: str) -> Model | None:
        """The model, or None."""
        ...

    def suggest(self, snapshot: Snapshot, name: str) -> str | None:
        """The nearest name that exists."""
        ...


class Admittance(Protocol):
    """Whether the process can take on more."""

    def refusal(self) -> ServiceUnavailable | None:
        """Why not: draining, or a journal that cannot keep up; None when it can."""
        ...


class Memory(Protocol):
    """What clients were answered before, where their requests go on from it."""

    async def recall(self, principal: Principal, request: ModelRequest) -> ModelRequest:
        """The request with all that it goes on from. Raises NotFound for what this org does not have."""
        ...


class Stages(NamedTuple):
    """Whom the stages ask, in the request's order."""

    admittance: Admittance
    authenticator: Authenticator
    memory: Memory | None
    """None where nothing is remembered."""
    watch: Watch
    models: Models
    deciding: Deciding
    upstreams: Upstreams


class Pipeline:
    """Serves model requests. One per process; each request keeps the snapshot that it started with."""

    def __init__(self, stages: Stages) -> None:
        self._authenticator = stages.authenticator
        self._models = stages.models
        self._admittance = stages.admittance
        self._watch = stages.watch
        self._upstreams = stages.upstreams
        self.deciding = stages.deciding
        """Decides for requests that a policy routes."""
        self._memory = stages.memory
        self._named = Named()
        self._recorder = stages.upstreams.recorder

    async def serve(self, snapshot: Snapshot, call: IncomingCall, reply: Reply) -> None:
        """Serve one request to its end. Never raises for anything that a client or a provider did."""
        context = RequestContext(call.api, snapshot)
        try:
            await self._serve(context, call, reply)
        except FareboxError as error:
            _note_failure(context, error, reply)
            if isinstance(error, InvalidKey):
                self._recorder.record(KeyRefused(context.arrived_at_s, call.client, error.code))
            await reply.error(error, context.request_id)
        except ClientGone:
            context.outcome = context.error_code = "client_gone"
            context.status = CLIENT_CLOSED_REQUEST
        except asyncio.CancelledError:
            context.outcome = context.error_code = "drained"
            context.status = context.status if reply.started else ServiceUnavailable.status
            await reply.error(ServiceUnavailable("The gateway is being stopped; try again."), context.request_id)
        except Exception:
            log.exception("unforeseen error", extra={"request_id": context.request_id})
            failure = FareboxError("An error inside the gateway; its log tells more under this request id.")
            await reply.error(failure, context.request_id)
        finally:
            if context.principal is not None:
                if context.prompt is not None:
                    self._watch.over(context)
                if context.decided is not None:
                    self.deciding.over(context)
                self._recorder.record(context.finished())

    async def _serve(self, context: RequestContext, call: IncomingCall, reply: Reply) -> None:
        snapshot = context.snapshot
        refusal = self._admittance.refusal()
        if refusal is not None:
            raise refusal
        principal = context.principal = await self.authenticate(snapshot, call.headers)
        self._recorder.record(RequestStarted(context.request_id, principal.org, principal.team, principal.agent))
        if context.api in UPLOADS:
            request = context.request = await read_upload(cast("UploadingCall", call), snapshot.server.max_upload_bytes)
        else:
            context.body = await call.body(snapshot.server.max_body_bytes)
            request = context.request = self._read(context, call, reply)
        if context.api == RESPONSES and self._memory is not None:
            request = context.request = await self._memory.recall(principal, request)
        agent = snapshot.agents[principal.agent]
        spoken = request.native or request
        attribution, context.forwarded = attribute(call.headers, spoken.fields, agent.trust)
        context.attribution = in_run_of(principal, attribution)
        if agent.requires:
            check_labels(agent, context.attribution)
        if self._watch.concerns(context, request):
            await self._watch.look(context, request, call.headers)
        policy = snapshot.agent_policies.get(principal.agent) if snapshot.agent_policies else None
        if policy is not None and request.model in policy.claims:
            await self._by_policy(context, reply, policy)
        else:
            context.route = _remembering_first(self._route(snapshot, principal, request), request)
            await self._exchange(context, reply)

    def _read(self, context: RequestContext, call: IncomingCall, reply: Reply) -> ModelRequest:
        """The request, whatever tongue it is in. Raises BadRequest errors."""
        if context.api in OTHERS:
            return read_other(context.api, context.body)
        request = context.request = read_any(context.api, context.body)
        if request.native is not None:
            request.native.query = call.query
            reply.asked(context)
        return request

    async def _by_policy(self, context: RequestContext, reply: Reply, policy: CompiledPolicy) -> None:
        """Serve a request whose model its agent's policy chooses."""
        await self.deciding.route(context, policy)
        if context.request is not None and context.route is not None:
            context.route = _remembering_first(context.route, context.request)
        try:
            await self._exchange(context, reply)
        except (BudgetExceeded, BudgetReserved) as error:
            decided = context.decided
            if decided is None or not decided.may_downgrade:
                raise
            if not self.deciding.cheaper(context, policy, error) and isinstance(error, BudgetExceeded):
                raise
        else:
            return
        await self._exchange(context, reply)  # with cheaper candidates, or with time to wait

    async def _exchange(self, context: RequestContext, reply: Reply) -> None:
        if context.request is not None and context.request.is_free and await count_here(context, reply):
            return
        await Exchange(context, reply, self._upstreams).run()

    async def authenticate(self, snapshot: Snapshot, headers: Headers) -> Principal:
        """Who is calling. Raises InvalidKey."""
        if not snapshot.auth:
            return _anonymous(snapshot)
        key = _key_of(headers)
        if key is None:
            raise InvalidKey(
                "No API key. Send your Farebox key as `Authorization: Bearer <key>` (the OpenAI SDKs' `api_key`). "
                "`farebox keys create --agent NAME` makes one."
            )
        principal = await self._authenticator.principal(key)
        if principal is None or principal.agent not in snapshot.agents:  # a reload may have come in between
            raise InvalidKey(
                "This API key is not valid: unknown, expired or revoked. `farebox keys list` shows the keys there are."
            )
        return principal

    def _route(self, snapshot: Snapshot, principal: Principal, request: ModelRequest) -> Route:
        name = request.model
        if not may_use(snapshot, principal, name):
            raise ModelNotAllowed(
                f"The agent `{principal.agent}` may not use the model `{name}` with this key. "
                "GET /v1/models lists what it may use.",
                param="model",
                reason="model_not_allowed",
            )
        model = self._models.find(snapshot, name)
        if model is None:
            nearest = self._models.suggest(snapshot, name)
            hint = f" Did you mean `{nearest}`?" if nearest else ""
            if name == _AUTO:
                hint = f" No policy chooses models for the agent `{principal.agent}`: `policy:` gives it one."
            if any(name in _WORDS.findall(line) for line in snapshot.left_out):
                hint = " It is configured, but its provider is not yet: the gateway's log says what is missing."
            raise ModelNotFound(
                f"The model `{name}` does not exist here.{hint} GET /v1/models lists the models there are.",
                param="model",
            )
        model = self._named.fitting(model, request, snapshot.agents[principal.agent])
        if model.strategy == "ordered":
            chosen = route(model)
        else:
            loads = self._upstreams.loads
            chosen = route(model, loads.view(model.deployments, stream=request.stream), loads.draw())
        if not chosen.candidates:
            raise ModelNotPriced(
                f"The model `{name}` has no price, and what has no price is not called. The gateway's operator can "
                "give it one (`price:` on its deployment) or a ceiling (`unpriced:`).",
                param="model",
            )
        return chosen


def _remembering_first(chosen: Route, request: ModelRequest) -> Route:
    """The route with the provider first that remembers what the request goes on from."""
    native = request.native
    if native is None or native.held_at is None or len(chosen.candidates) < 2:
        return chosen
    candidates = sorted(chosen.candidates, key=lambda deployment: deployment.provider != native.held_at)
    return chosen._replace(candidates=tuple(candidates))


def may_use(snapshot: Snapshot, principal: Principal, model: str) -> bool:
    """Whether both the key and its agent allow a model's name (or the model behind an alias)."""
    names = (model, snapshot.catalog.aliases.get(model, model))
    for allowed in (principal.allowed_models, snapshot.agents[principal.agent].allowed_models):
        if allowed is not None and not any(_allows(allowed, name) for name in names):
            return False
    return True


def claimed_names(snapshot: Snapshot, principal: Principal) -> list[str]:
    """The names that the agent's policy routes: `auto`, and aliases of its own."""
    policy = snapshot.agent_policies.get(principal.agent)
    return [] if policy is None else sorted(policy.claims)


@lru_cache(maxsize=4096)
def _allows(patterns: frozenset[str], name: str) -> bool:
    return name in patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _key_of(headers: Headers) -> bytes | None:
    """The key: `Authorization: Bearer`, or `x-api-key` as Anthropic's clients send it."""
    api_key = None
    for name, value in headers:
        if name == b"authorization":
            if value[:7].lower() == b"bearer ":
                return value[7:].strip()
        elif name == b"x-api-key":
            api_key = value
    return api_key or None


def _anonymous(snapshot: Snapshot) -> Principal:
    agent = snapshot.agents[snapshot.anonymous_agent or ""]
    return Principal(agent.org, agent.team, agent.id, "anonymous")


def _note_failure(context: RequestContext, error: FareboxError, reply: Reply) -> None:
    if reply.started:
        context.outcome = "cut"
    elif context.cost or context.deployment is not None:
        context.outcome, context.status = "upstream_error", error.status
    else:
        context.outcome, context.status = "refused", error.status
    context.error_code = error.code
