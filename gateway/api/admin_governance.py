"""The part of the admin API about budgets, runs and the books. By FastAPI, like the rest of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt

from gateway.api.budgets import budget_object
from gateway.api.runs import moment, report_object, run_object
from gateway.errors import InvalidField
from gateway.governance import MAX_RUNS, Governance
from gateway.ledger.operations import Unit
from gateway.reports.budgets import MAX_VALUE_CHARS, Asked, Entry
from gateway.reports.rollups import compared_object
from gateway.reports.verify import Verification
from routing.money import NANO_PER_USD, NanoUsd, format_usd, parse_usd

MAX_USD = 1_000_000_000

Agent = Annotated[str, Path(max_length=128, description="The agent's id.")]
Run = Annotated[str, Path(max_length=128, description="The run's name within its agent.")]
BudgetId = Annotated[str, Path(max_length=128, description="The budget's name in the configuration.")]
_Reason = Annotated[str, Field(min_length=1, max_length=500, description="Why; it is kept.")]


class Reason(BaseModel):
    """Why something is done."""

    model_config = ConfigDict(extra="forbid")

    reason: _Reason


class Correction(Reason):
    """Which counter of a budget, and why."""

    value: str | None = Field(
        default=None, max_length=MAX_VALUE_CHARS, description="Which user, tag, run, ...: for scopes that end in `*`."
    )
    id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._:-]{1,128}$",
        description="The entry's id. Sent again with the same id, nothing is entered twice.",
    )


class Adjustment(Correction):
    """An amount to count as spent, or to give back."""

    amount_usd: str | StrictInt | StrictFloat = Field(
        description="Counted as spent; negative gives money back. A string is exact."
    )


def add_governance(app: FastAPI, governance: Governance, viewer: list[Any], admin: list[Any]) -> None:
    """Add the routes. `viewer` and `admin` are the dependencies that check who asks."""
    _add_budgets(app, governance, viewer, admin)
    _add_runs(app, governance, viewer, admin)

    @app.get("/admin/v1/verify", dependencies=viewer, summary="Compare every counter with the journal")
    async def verify(
        rollups: Annotated[bool, Query(description="Compare the daily roll-ups with the charges, too.")] = False,
    ) -> dict[str, Any]:
        found = verification_object(await governance.verify())
        if not rollups:
            return found
        compared = compared_object(await governance.roll_ups())
        return {**found, "ok": found["ok"] and not compared["differences"], "roll_ups": compared}


def _add_budgets(app: FastAPI, governance: Governance, viewer: list[Any], admin: list[Any]) -> None:
    @app.get("/admin/v1/budgets", dependencies=viewer, summary="Limits, what is spent and left, how fast it goes")
    async def budgets(
        budget: Annotated[str | None, Query(max_length=128, description="Only this budget.")] = None,
        scope: Annotated[
            str | None, Query(max_length=512, description="Only this scope (agent:researcher) or kind (agent).")
        ] = None,
    ) -> dict[str, Any]:
        return {"data": [budget_object(line) for line in await governance.budgets(budget, scope)]}

    @app.post("/admin/v1/budgets/{budget}/adjust", dependencies=admin, summary="Enter spend, or give money back")
    async def adjust(budget: BudgetId, asked: Adjustment) -> dict[str, Any]:
        amount = _amount(asked.amount_usd)
        which = Asked(budget, asked.value)
        return entry_object(await governance.adjust(which, amount, reason=asked.reason, entry_id=asked.id))

    @app.post("/admin/v1/budgets/{budget}/reset", dependencies=admin, summary="Give back all that is spent")
    async def reset(budget: BudgetId, asked: Correction) -> dict[str, Any]:
        return entry_object(await governance.reset(Asked(budget, asked.value), reason=asked.reason, entry_id=asked.id))


def _add_runs(app: FastAPI, governance: Governance, viewer: list[Any], admin: list[Any]) -> None:
    @app.get("/admin/v1/runs", dependencies=viewer, summary="The latest runs")
    async def runs(
        state: Annotated[Literal["open", "paused", "closed"] | None, Query(description="Only these.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_RUNS)] = 100,
    ) -> dict[str, Any]:
        found = await governance.list_runs(state, limit)
        return {"data": [report_object(each) for each in found]}

    @app.get("/admin/v1/runs/{agent}/{run}", dependencies=viewer, summary="One run")
    async def run(agent: Agent, run: Run) -> dict[str, Any]:
        return report_object(await governance.run(f"{agent}/{run}"))

    @app.post("/admin/v1/runs/{agent}/{run}/pause", dependencies=admin, summary="Refuse a run's next requests")
    async def pause(agent: Agent, run: Run, why: Reason) -> dict[str, Any]:
        return run_object(await governance.pause(f"{agent}/{run}", why.reason))

    @app.post("/admin/v1/runs/{agent}/{run}/resume", dependencies=admin, summary="Let a paused run go on")
    async def resume(agent: Agent, run: Run, _why: Reason | None = None) -> dict[str, Any]:
        return run_object(await governance.resume(f"{agent}/{run}"))

    @app.post("/admin/v1/runs/{agent}/{run}/close", dependencies=admin, summary="Close a run and its sub-runs")
    async def close(agent: Agent, run: Run, why: Reason) -> dict[str, Any]:
        closed = await governance.close(f"{agent}/{run}", why.reason)
        return {**run_object(closed.run), "given_back_usd": format_usd(closed.given_back)}


def _amount(written: str | float) -> NanoUsd:
    try:
        amount = parse_usd(written if isinstance(written, str) else repr(written))
    except ValueError as error:
        raise InvalidField(
            f'`amount_usd` must be an amount such as "12.50" or "-5": {error}.', param="amount_usd"
        ) from None
    if not 0 < abs(amount) <= MAX_USD * NANO_PER_USD:
        raise InvalidField(f"`amount_usd` must not be 0, and at most {MAX_USD} USD.", param="amount_usd")
    return amount


def entry_object(entered: Entry) -> dict[str, Any]:
    """An adjustment as people may see it, with the budget as it stands now."""
    entry = entered.entry
    return {
        "id": entry.entry_id,
        "object": "adjustment",
        "budget": budget_object(entered.line),
        "amount_usd": format_usd(NanoUsd(entry.amount_nano_usd)),
        "reason": entry.reason,
        "created_at": moment(entry.at_s),
    }


def verification_object(found: Verification) -> dict[str, Any]:
    """What a comparison found, as people may see it. Money in USD; tokens and requests as counts."""

    def amount(unit: Unit, count: int) -> str | int:
        return format_usd(NanoUsd(count)) if unit is Unit.MONEY else count

    return {
        "object": "verification",
        "ok": not found.differences,
        "compared": found.compared,
        "moving": found.moving,
        "skipped": [{"key": key, "reason": reason} for key, reason in found.skipped],
        "differences": [
            {
                "key": difference.key,
                "scope": difference.scope,
                "unit": difference.unit.name.lower(),
                "posted": amount(difference.unit, difference.posted),
                "journal": amount(difference.unit, difference.expected),
                "difference": amount(difference.unit, difference.posted - difference.expected),
            }
            for difference in found.differences
        ],
    }
