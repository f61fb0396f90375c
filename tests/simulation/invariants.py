"""What must be true after every simulation, whatever happened in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from gateway.telemetry.events import ChargePosted
from tests.simulation.client import ClientError, SimClient
from tests.simulation.provider import SimCall
from tests.simulation.resilience import outages_are_left_alone, resilience_violations
from tests.simulation.scenario import MODEL
from tests.simulation.world import Evidence

_SETTLES_S = 5.0
"""More than any provider goes on generating for a client that has left."""

_PATIENCE_S = 0.05


def violations(found: Evidence) -> list[str]:
    """Everything that is wrong; empty when nothing is."""
    snapshot = found.scenario.snapshot
    return [
        *found.complaints,
        *outages_are_left_alone(found.scenario, found.calls),
        *nothing_is_left_reserved(found),
        *every_request_ends_once(found),
        *every_attempt_is_charged_once(found),
        *charges_are_the_bills(found),
        *counters_are_the_charges(found),
        *what_was_charged_is_not_repeated(found),
        *resilience_violations(found.log, snapshot.resilience, hedges=snapshot.catalog.models[MODEL].hedge is not None),
    ]


def nothing_is_left_reserved(found: Evidence) -> Iterator[str]:
    """No reservation leaks."""
    if found.pending:
        yield f"{found.pending} reservations are still pending"
    for state in found.counters:
        if state.reserved:
            yield f"{state.key} has {state.reserved} reserved"


def every_request_ends_once(found: Evidence) -> Iterator[str]:
    """One row each, and one end of its answer, unless its client left."""
    rows = Counter(row.request_id for row in found.finished)
    yield from (f"{request} has {times} rows" for request, times in rows.items() if times != 1)
    if len(rows) != len(found.clients):
        yield f"{len(found.clients)} requests, {len(rows)} rows"
    for client in found.clients:
        try:
            client.check()
        except ClientError as error:
            yield f"client {client.number}: {error}"
        if not client.ending and not client.gone:
            yield f"client {client.number} never got an end"
        if "internal_error" in client.ending:
            yield f"client {client.number} got an error of ours"
        if client.timeout_s is not None and not client.gone and client.ended_s is not None:
            late_s = client.ended_s - client.began_s - client.timeout_s
            if late_s > _PATIENCE_S + client.slow_s * 1_000:
                yield f"client {client.number} waited {late_s:.3f} s longer than it allows"


def every_attempt_is_charged_once(found: Evidence) -> Iterator[str]:
    """Every call of a provider has one charge or release, and nothing else has one."""
    times = Counter(charge.charge_id for charge in found.charges)
    yield from (f"charge {name} was posted {posted} times" for name, posted in times.items() if posted != 1)
    calls = Counter((call.request_id, call.deployment.id) for call in found.calls)
    charges = Counter((charge.request_id, charge.deployment) for charge in found.charges)
    for key in calls.keys() | charges.keys():
        if calls[key] != charges[key]:
            yield f"request {key[0]}: {calls[key]} calls of {key[1]}, {charges[key]} charges"


def pairs(found: Evidence) -> Iterator[tuple[SimCall, ChargePosted]]:
    """Each call with its charge: those of one request at one deployment are in the same order."""
    charges: dict[tuple[str, str], list[ChargePosted]] = defaultdict(list)
    for charge in sorted(found.charges, key=lambda each: each.attempt):
        charges[charge.request_id, charge.deployment].append(charge)
    for call in found.calls:
        waiting = charges[call.request_id, call.deployment.id]
        if waiting:
            yield call, waiting.pop(0)


def charges_are_the_bills(found: Evidence) -> Iterator[str]:
    """Exactly what the provider bills; where that was not told, no less.

    Where a stream was metered, the input that nobody told counts as its agent's inputs usually do (docs/budgets.md).
    """
    for call, charge in pairs(found):
        billed = call.billed(found.now_s + _SETTLES_S)
        wrong = charge.cost_nano_usd < billed if charge.estimated else charge.cost_nano_usd != billed
        if charge.estimated and not found.scenario.snapshot.budgets:
            continue  # nothing asks for more than an estimate
        generated = call.generated(found.now_s + _SETTLES_S)
        if charge.estimated and call.deployment.metering is not None and generated is not None:
            wrong = wrong and charge.usage.output_tokens < generated.output_tokens
        if wrong:
            yield (
                f"{charge.charge_id} ({charge.outcome}, {charge.resolution}{', estimated' if charge.estimated else ''})"
                f" costs {charge.cost_nano_usd}; call {call.number} ({call.plan.fault or 'fine'}, {call.outcome}) is "
                f"billed {billed}: {call.generated(found.now_s)} against {charge.usage}"
            )


def what_was_charged_is_not_repeated(found: Evidence) -> Iterator[str]:
    """A deployment is not called again for a request that it has been paid for, unless the configuration says so."""
    if found.scenario.snapshot.resilience.attempts.retry_billable:
        return
    paid: dict[tuple[str, str], ChargePosted] = {}
    for charge in sorted(found.charges, key=lambda each: each.attempt):
        before = paid.get((charge.request_id, charge.deployment))
        if before is not None:
            yield f"{charge.charge_id} repeats {before.charge_id} ({before.outcome}), which cost {before.cost_nano_usd}"
        if charge.cost_nano_usd:
            paid[charge.request_id, charge.deployment] = charge


def counters_are_the_charges(found: Evidence) -> Iterator[str]:
    """What a total counter has posted is the sum of the charges in its scope."""
    for budget in found.scenario.snapshot.budgets:
        if budget.window.period != "total":
            continue
        for state in found.counters:
            kind, name, *rest = state.key.split("|")
            if kind != "b" or name != budget.id:
                continue
            value = rest[0] if rest else ""
            charged = sum(charge.cost_nano_usd for charge in found.charges if _counts(budget.scope.kind, value, charge))
            if charged != state.posted:
                yield f"{state.key} has {state.posted} posted; its charges are {charged}"


def _counts(kind: str, value: str, charge: ChargePosted) -> bool:
    return kind == "global" or getattr(charge, kind) == value


def summary(found: Evidence) -> dict[str, int]:
    """How often what happened: for people, and for the test that the simulation does what it is for."""
    told = Counter(" ".join(_ending(client).split()) for client in found.clients)
    faults = Counter(f"fault {call.plan.fault}" for call in found.calls if call.plan.fault)
    outcomes = Counter(f"charged {charge.outcome}" for charge in found.charges)
    purposes = Counter(f"for {charge.purpose}" for charge in found.charges)
    return {**told, **faults, **outcomes, **purposes}


def _ending(client: SimClient) -> str:
    return f"client {client.ending or 'left'}"


def everyone_is_answered(found: Evidence) -> Iterator[str]:
    """With a fallback that is well and money enough, an outage is not the clients'.

    An answer that broke after its first byte is, and so is a request that a provider finds wrong.
    """
    for client in found.clients:
        faults = {found.calls[number].plan.fault for number in client.calls}
        if client.gone or client.cancelled or client.timeout_s is not None or client.ending in ("whole", "finished"):
            if client.ending == "whole" and client.status != 200 and client.status != 400:
                yield f"client {client.number} got a {client.status}"
        elif not (client.started and client.ending.startswith("broken") and faults):
            yield f"client {client.number} got `{client.ending}`"
