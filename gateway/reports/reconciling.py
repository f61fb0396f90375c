"""Compares a provider's bill with the journal, by day and model, and says what the difference may come from.

A correction makes the journal's total of a day and model the bill's. It is a charge of its own, which belongs to that
day, to nobody in particular, and to no budget: what was admitted stays admitted (`resolution` is `reconciled`). Only
what the bill names is corrected: a day or model that is not in it may be missing for any reason. A bill that does not
tell models apart corrects a day's models together, under the name `(all)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import func, select

from gateway.journal.database import Database
from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.reconciliations import Reconciled, keep
from gateway.journal.rows import charge_row, to_us
from gateway.journal.sessions import reading, writing
from gateway.journal.tables import charges, daily
from gateway.reports.bills.bill import Billed, canonical
from gateway.reports.periods import DAY_S, Period, date_of
from gateway.telemetry.events import ChargePosted
from routing.money import NanoUsd, Usage

NEGLIGIBLE: Final = 5_000_000
"""Half a cent: exports round to whole cents."""
_CLOSE: Final = 0.02
_RESOLUTION: Final = "reconciled"
ALL: Final = "(all)"
"""The model of a correction that is of all models of a day together."""


class CorrectionsChanged(Exception):
    """What would be entered is not what was agreed to: charges of these days have come meanwhile."""

    def __init__(self) -> None:
        super().__init__("the journal has changed since the comparison was shown; nothing was entered: compare again")


class Ledger(NamedTuple):
    """What the journal says of one model on one day."""

    provider: str
    models: tuple[str, ...]
    upstream_model: str
    cost: int = 0
    """Nano-USD, like all amounts."""
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    estimated: int = 0
    unpriced: int = 0
    orphaned: int = 0
    reconciled: int = 0
    """What earlier reconciliations have corrected, and so is in `cost`."""


class Compared(NamedTuple):
    """One model on one day."""

    day: int
    model: str
    """The configured name, or the provider's own."""
    billed: Billed | None
    """None: the provider says nothing of it."""
    ledger: Ledger | None
    reasons: tuple[str, ...]
    key: str = ""
    """The canonical name that bill and journal are matched by; empty: all models together."""
    replaced: int = 0
    """Nano-USD of earlier corrections of all models together, of a day whose models this bill tells apart."""

    @property
    def correction(self) -> int:
        """Nano-USD that make the journal the bill's; 0 where the bill names no cost."""
        if self.replaced:
            return -self.replaced
        return 0 if self.billed is None or self.billed.cost is None else self.difference

    @property
    def billed_cost(self) -> int | None:
        """In nano-USD; None where the export has no costs."""
        return 0 if self.billed is None else self.billed.cost

    @property
    def charged_cost(self) -> int:
        """In nano-USD."""
        return 0 if self.ledger is None else self.ledger.cost

    @property
    def difference(self) -> int:
        """The bill less the charges, in nano-USD; 0 where the export has no costs."""
        return 0 if self.billed_cost is None else self.billed_cost - self.charged_cost


class Reconciliation(NamedTuple):
    """A comparison of all days that a bill covers."""

    provider: str
    period: Period
    lines: tuple[Compared, ...]
    has_costs: bool

    def drifts(self, at_s: float) -> list[Reconciled]:
        """By model, over all days; empty without costs."""
        found: dict[str, tuple[int, int]] = {}
        for line in self.lines if self.has_costs else ():
            billed, charged = found.get(line.model, (0, 0))
            found[line.model] = (billed + (line.billed_cost or 0), charged + line.charged_cost)
        return [
            Reconciled(self.provider, model, at_s, *self.period, NanoUsd(billed), NanoUsd(charged))
            for model, (billed, charged) in sorted(found.items())
        ]


async def reconcile(
    engine: AsyncEngine, providers: Sequence[str], bill: Mapping[tuple[int, str], Billed]
) -> Reconciliation:
    """Compare a bill with what was charged to these providers of the configuration. Raises JournalError."""
    async with reading(engine) as connection:
        return await _reconcile(connection, providers, bill)


async def post(
    database: Database,
    providers: Sequence[str],
    bill: Mapping[tuple[int, str], Billed],
    now_s: float,
    agreed: Sequence[ChargePosted] | None = None,
) -> list[ChargePosted]:
    """Enter what makes the journal the bill's, for days that are over, and keep the comparison.

    Compared anew in the same transaction: entered twice, there is nothing left to enter. `agreed`: the `corrections`
    that were shown to somebody; others are not entered. Raises CorrectionsChanged, JournalError.
    """
    async with writing(database.engine) as connection:
        found = await _reconcile(connection, providers, bill)
        entries = corrections(found, now_s)
        if agreed is not None and _amounts(entries) != _amounts(agreed):
            raise CorrectionsChanged
        numbered = [await _numbered(connection, entry) for entry in entries]
        names = charges.columns.keys()
        if numbered:
            rows = [dict(zip(names, charge_row(entry), strict=True)) for entry in numbered]
            await connection.execute(charges.insert(), rows)
            found = await _reconcile(connection, providers, bill)  # what is kept is how far off it is now
        await keep(connection, found.drifts(now_s))
    return numbered


def _amounts(entries: Sequence[ChargePosted]) -> list[tuple[str, int]]:
    return [(entry.charge_id, entry.cost_nano_usd) for entry in entries]


async def remember(database: Database, found: Reconciliation, now_s: float) -> None:
    """Keep a comparison for the metrics. Raises JournalError."""
    async with writing(database.engine) as connection:
        await keep(connection, found.drifts(now_s))


def corrections(found: Reconciliation, now_s: float) -> list[ChargePosted]:
    """The entries that `post` would make: of days that are over, where the bill names a cost and it is another."""
    today = int(now_s // DAY_S)
    return [_entry(line, found.provider, now_s) for line in found.lines if line.correction and line.day < today]


def _entry(line: Compared, provider: str, now_s: float) -> ChargePosted:
    ledger, model = line.ledger, line.model
    upstream = ledger.upstream_model if ledger is not None else line.billed.model if line.billed is not None else ""
    at_provider = provider if ledger is None else ledger.provider
    if not line.key:
        upstream, model, at_provider = ALL, ALL, provider
    name = f"bill:{at_provider}:{canonical(upstream) if upstream != ALL else 'all'}:{date_of(line.day)}"
    return ChargePosted(
        charge_id=name,
        request_id=name,
        attempt=0,
        at_s=now_s,
        org="",
        team="",
        agent="",
        model=model,
        deployment=f"{at_provider}/{upstream}",
        provider=at_provider,
        upstream_model=upstream,
        usage=Usage(),
        price_point="bill",
        service_tier="",
        cost_nano_usd=NanoUsd(line.correction),
        estimated=False,
        unpriced=False,
        outcome="ok",
        purpose="useful",
        upstream_status=None,
        latency_ms=0.0,
        first_token_ms=None,
        window_at_s=line.day * DAY_S + DAY_S / 2,
        resolution=_RESOLUTION,
    )


async def _numbered(connection: AsyncConnection, entry: ChargePosted) -> ChargePosted:
    """A bill may change, and be entered again: each correction of a day and model has a number.

    The last one's decides, since earlier ones may have been deleted. Not by a range of ids: how a database sorts their
    colons is its locale's affair.
    """
    name = entry.charge_id
    earlier = select(charges.c.charge_id).where(
        charges.c.window_at_us == to_us(entry.window_at_s),
        charges.c.resolution == _RESOLUTION,
        charges.c.charge_id.startswith(f"{name}:", autoescape=True),
    )
    numbers = [int(found.rpartition(":")[2]) for found in (await connection.execute(earlier)).scalars()]
    number = max(numbers, default=0) + 1
    return entry._replace(charge_id=f"{name}:{number}", request_id=f"{name}:{number}")


async def _reconcile(
    connection: AsyncConnection, providers: Sequence[str], bill: Mapping[tuple[int, str], Billed]
) -> Reconciliation:
    days = {day for day, _ in bill}
    period = Period(min(days), max(days) + 1)
    merged = not any(model for _, model in bill)
    ledger = await _ledger(connection, providers, period, merged=merged)
    has_costs = any(each.cost is not None for each in bill.values())
    lines = [
        Compared(day, _name(model, *pair), *pair, (), model, 0 if merged or day not in days else _replaced(*pair))
        for day, model in sorted(bill.keys() | ledger.keys())
        for pair in [(bill.get((day, model)), ledger.get((day, model)))]
    ]
    differences = {(line.day, line.model): line.difference for line in lines}
    explained = [line._replace(reasons=tuple(_reasons(line, differences))) for line in lines]
    return Reconciliation(providers[0], period, tuple(explained), has_costs)


def _replaced(billed: Billed | None, ledger: Ledger | None) -> int:
    """What was corrected of a day's models together, where this bill tells them apart."""
    return ledger.reconciled if billed is None and ledger is not None and ledger.upstream_model == ALL else 0


def _name(model: str, billed: Billed | None, ledger: Ledger | None) -> str:
    if ledger is not None and len(ledger.models) == 1:
        return ledger.models[0]
    return (ledger.upstream_model if ledger is not None else billed.model if billed is not None else "") or model


async def _ledger(
    connection: AsyncConnection, providers: Sequence[str], period: Period, *, merged: bool
) -> dict[tuple[int, str], Ledger]:
    """By day and canonical name; under no name what is of all models, and all where the bill tells none apart."""
    of = daily.c
    keys = (of.day, of.provider, of.model, of.upstream_model, of.resolution, of.estimated, of.unpriced)
    sums = (of.cost_nano_usd, of.attempts, of.input_tokens, of.output_tokens, of.cache_read_tokens)
    query = (
        select(*keys, *map(func.sum, sums))
        .where(of.day >= period.first, of.day < period.end, of.provider.in_(providers))
        .group_by(*keys)
    )
    found: dict[tuple[int, str], Ledger] = {}
    for row in await connection.execute(query):
        day, provider, model, upstream, resolution, estimated, unpriced = row[: len(keys)]
        cost, attempts, inputs, outputs, cached = map(int, row[len(keys) :])
        key = (int(day), "" if merged or upstream == ALL else canonical(upstream))
        before = found.get(key) or Ledger(provider, (), "" if merged else upstream)
        found[key] = before._replace(
            models=tuple(dict.fromkeys((*before.models, *([model] if resolution != _RESOLUTION else [])))),
            cost=before.cost + cost,
            attempts=before.attempts + attempts,
            input_tokens=before.input_tokens + inputs,
            output_tokens=before.output_tokens + outputs,
            cached_tokens=before.cached_tokens + cached,
            estimated=before.estimated + (cost if estimated and resolution == "settled" else 0),
            unpriced=before.unpriced + (cost if unpriced else 0),
            orphaned=before.orphaned + (cost if resolution in {"orphaned", "correction"} else 0),
            reconciled=before.reconciled + (cost if resolution == _RESOLUTION else 0),
        )
    return found


def _reasons(line: Compared, differences: Mapping[tuple[int, str], int]) -> Iterable[str]:
    """What the difference of a line may come from, the likeliest first; nothing where it is negligible."""
    billed, ledger, off = line.billed, line.ledger, line.difference
    tokens_off = billed is not None and ledger is not None and not _same_tokens(billed, ledger)
    if line.replaced:
        yield f"earlier correction: {_usd(line.replaced)} USD are of all models together; this bill tells them apart"
        return
    if abs(off) <= NEGLIGIBLE and not tokens_off:
        return
    if ledger is None:
        yield "other keys: no call of this model went through Farebox on that day"
        return
    if billed is None:
        yield "the bill has nothing of it: is the export complete, or of another account or project? Nothing is entered"
        return
    if _edge(line, differences):
        yield "day edge: the day before or after is off by about as much the other way (calls around midnight UTC)"
    if billed.batch:
        yield "batch: the bill has batches, which do not go through Farebox and cost half"
    if ledger.estimated:
        yield f"missing usage: {_usd(ledger.estimated)} USD are estimated, since the provider sent no usage"
    if ledger.orphaned:
        yield f"lost gateways: {_usd(ledger.orphaned)} USD are charged in full for calls whose gateway was lost"
    if ledger.unpriced:
        yield f"unpriced: {_usd(ledger.unpriced)} USD are at the configured ceiling price"
    yield from _of_counts(billed, ledger, off)


def _of_counts(billed: Billed, ledger: Ledger, off: int) -> Iterable[str]:
    if billed.requests is not None and billed.requests > ledger.attempts:
        yield f"other keys: {billed.requests} requests are billed, {ledger.attempts} went through Farebox"
    if billed.cached_tokens is not None and not _near(billed.cached_tokens, ledger.cached_tokens):
        yield f"cached tokens: {billed.cached_tokens} billed, {ledger.cached_tokens} in the journal"
    if billed.input_tokens is None:
        return
    if _same_tokens(billed, ledger):
        if abs(off) > NEGLIGIBLE:
            yield "price: the tokens agree, the cost does not: see the price list, tools, service tiers"
    elif (billed.input_tokens or 0) > ledger.input_tokens:
        yield f"other keys: {billed.input_tokens} input tokens are billed, {ledger.input_tokens} in the journal"


def _same_tokens(billed: Billed, ledger: Ledger) -> bool:
    pairs = ((billed.input_tokens, ledger.input_tokens), (billed.output_tokens, ledger.output_tokens))
    return all(theirs is None or _near(theirs, ours) for theirs, ours in pairs)


def _edge(line: Compared, differences: Mapping[tuple[int, str], int]) -> bool:
    off = line.difference
    beside = (differences.get((line.day + step, line.model), 0) for step in (-1, 1))
    return abs(off) > NEGLIGIBLE and any(other * off < 0 and _near(-other, off, 0.5) for other in beside)


def _near(one: int, other: int, share: float = _CLOSE) -> bool:
    return abs(one - other) <= share * max(abs(one), abs(other))


def _usd(amount: int) -> str:
    return f"{amount / 1e9:.4f}"
