"""`/v1/runs`: open a run, look at it, close it. Raw ASGI: reads requests, writes answers; `gateway.runs` decides.

    POST /v1/runs                 open a run; its key is in the answer, this once
    GET  /v1/runs/{id}            limits, state and what was used
    POST /v1/runs/{id}/close      close it; what it carved and did not spend goes back

`{id}` is `run` or `agent/run`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from gateway.api.answers import answer_json
from gateway.api.asgi import AsgiCall, AsgiReply, Receive, Scope
from gateway.api.caller import principal_of
from gateway.errors import InvalidField, InvalidJson, MethodNotAllowed, NotFound
from gateway.ledger.budgets import RunLimits
from gateway.ledger.operations import Run
from gateway.reports.runs import RunReport
from gateway.runs import RunAsked
from gateway.services import Services
from routing.money import NANO_PER_USD, NanoUsd, format_usd, parse_usd

MAX_BODY_BYTES = 65_536
MAX_TTL_S = 31_536_000
PATH = "/v1/runs"
_MAX_USD = 1_000_000_000

_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
_RunId = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9._:-]{1,128}/)?[A-Za-z0-9._:-]{1,128}$")]
_Count = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
_Whole = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=MAX_TTL_S)]


class _Limits(msgspec.Struct, forbid_unknown_fields=True):
    cost_usd: msgspec.Raw = msgspec.Raw(b"")
    requests: _Count | None = None
    tokens: _Count | None = None
    wall_s: _Seconds | None = None
    depth: _Whole | None = None
    children: _Whole | None = None


class _NewRun(msgspec.Struct, forbid_unknown_fields=True):
    id: _Id | None = None
    parent: _RunId | None = None
    parent_key: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    limits: _Limits | None = None
    carve_usd: msgspec.Raw = msgspec.Raw(b"")
    ttl_s: _Seconds | None = None


_decoder = msgspec.json.Decoder(_NewRun)


async def serve(services: Services, scope: Scope, receive: Receive, reply: AsgiReply) -> None:
    """Answer a request below `/v1/runs`. Raises FareboxError, JournalError, ClientGone."""
    service, snapshot = services.governance.runs, services.snapshot
    principal = await principal_of(services, scope)
    method, path = scope["method"], scope["path"].rstrip("/")
    if path == PATH:
        if method != "POST":
            raise MethodNotAllowed(f"{PATH} takes POST, not {method}; GET {PATH}/{{id}} shows one run.")
        body = await AsgiCall("runs", scope, receive).body(MAX_BODY_BYTES)
        opened = await service.open(snapshot, principal, read_new_run(body))
        key = None if opened.key is None else {"key": opened.key, "expires_at": _when(opened.key_expires_at_s)}
        await answer_json(reply, 201 if opened.new else 200, {**run_object(opened.run), "key": key})
        return
    name, closing = _named(method, path.removeprefix(f"{PATH}/"))
    if closing:
        closed = await service.close(principal, name)
        await answer_json(reply, 200, {**run_object(closed.run), "given_back_usd": format_usd(closed.given_back)})
    else:
        await answer_json(reply, 200, report_object(await service.show(principal, name)))


def _named(method: str, rest: str) -> tuple[str, bool]:
    """The run that a path names, and whether it is to be closed."""
    name, _, last = rest.rpartition("/")
    closing = method == "POST" and last == "close" and bool(name)
    if not closing:
        name = rest
    if not name or name.count("/") > 1:
        raise NotFound(f"There is no {PATH}/{rest} here: a run is named `run` or `agent/run`.")
    if not closing and method not in ("GET", "HEAD"):
        raise MethodNotAllowed(f"{PATH}/{rest} takes GET; POST {PATH}/{rest}/close closes the run.")
    return name, closing


def read_new_run(body: bytes) -> RunAsked:
    """What a body asks for; an empty one asks for nothing special. Raises BadRequest errors that name the field."""
    if not body.strip():
        return RunAsked()
    try:
        asked = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The request body is not valid JSON: {error}") from None
    limits = asked.limits or _Limits()
    cost = _usd(limits.cost_usd, "limits.cost_usd")
    carve = _usd(asked.carve_usd, "carve_usd")
    return RunAsked(
        asked.id,
        asked.parent,
        asked.parent_key,
        RunLimits(cost, limits.requests, limits.tokens, limits.wall_s, limits.depth, limits.children),
        carve or NanoUsd(0),
        asked.ttl_s,
    )


def _wrong_field(text: str) -> InvalidField:
    problem, _, path = text.partition(" - at `$")
    param = path.strip(".`") or None
    return InvalidField(f"{f'`{param}`' if param else 'The body'} is not valid: {problem}.", param=param)


def _usd(raw: msgspec.Raw, param: str) -> NanoUsd | None:
    """An amount, as a string or a number of JSON; both are read exactly."""
    written = bytes(raw)
    if written in (b"", b"null"):
        return None
    text = written.decode("utf-8", "replace")
    if written[:1] == b'"':
        text = msgspec.json.decode(written, type=str)
    try:
        amount = parse_usd(text)
    except ValueError as error:
        raise InvalidField(f"`{param}` must be an amount such as 12.50: {error}.", param=param) from None
    if not 0 < amount <= _MAX_USD * NANO_PER_USD:
        raise InvalidField(f"`{param}` must be above 0 and at most {_MAX_USD} USD.", param=param)
    return amount


def run_object(run: Run) -> dict[str, Any]:
    """A run as people may see it."""
    limits = run.limits
    return {
        "id": run.id,
        "object": "run",
        "agent": run.agent,
        "parent": run.path[1] if len(run.path) > 1 else None,
        "depth": run.depth,
        "state": run.state,
        "reason": run.reason or None,
        "limits": {
            "cost_usd": None if limits.cost is None else format_usd(limits.cost),
            "requests": limits.requests,
            "tokens": limits.tokens,
            "wall_s": limits.wall_s,
            "depth": limits.depth,
            "children": limits.children,
        },
        "carve_usd": format_usd(run.carve) if run.carve else None,
        "opened_at": moment(run.opened_at_s),
        "expires_at": moment(run.ends_at_s),
    }


def report_object(report: RunReport) -> dict[str, Any]:
    """A run with what it has used, as people may see it."""
    used, left = report.used, report.carve_left
    return {
        **run_object(report.run),
        "carve_left_usd": None if left is None else format_usd(left),
        "used": {"cost_usd": format_usd(used.cost_nano_usd), "requests": used.requests, "tokens": used.tokens},
    }


def moment(at_s: float) -> str:
    """A Unix time as RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(int(at_s), UTC).isoformat().replace("+00:00", "Z")


def _when(at_s: float | None) -> str | None:
    return None if at_s is None else moment(at_s)
