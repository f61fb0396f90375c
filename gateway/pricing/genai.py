"""genai-prices' data, turned into the plain lists that `gateway.pricing.table` reads.

Runs in the compiler's process only: importing genai_prices takes long and much memory. What a model costs at a moment
is asked of genai_prices itself, so that its rules about dates, hours and variants are not written twice; here they are
only sampled, once for every stretch of time in which nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from genai_prices import types

from gateway.pricing.match import Clause
from gateway.pricing.rates import PICO_PER_TOKEN_OF_USD_PER_MTOK, complete, whole

RATE_KEYS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cache_read_audio",
    "input_image_mtok": "input_image",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
}
"""genai-prices' key for each of our rates."""

REQUEST_KEY = "requests_kcount"
NANO_OF_USD_PER_THOUSAND = 1_000_000
"""1 USD per thousand requests is 1e6 nano-USD a request."""

UNIT_KEYS = {
    "web_searches_kcount": ("web_search", Decimal(NANO_OF_USD_PER_THOUSAND)),
    "storage_searches_kcount": ("file_search", Decimal(NANO_OF_USD_PER_THOUSAND)),
    "input_document_kpages": ("page", Decimal(NANO_OF_USD_PER_THOUSAND)),
    "input_mchars": ("character", Decimal(1_000)),
    "audio_hours": ("second", Decimal(1_000_000_000) / 3_600),
    "input_audio_hours": ("second", Decimal(1_000_000_000) / 3_600),
}
"""genai-prices' key for each unit of a tariff that it knows, and how many nano-USD one is for a dollar of its price."""

TIER_CONTEXTS = ("service_tier", "processing", "speed")
"""Request contexts whose value we use as a service tier's name: `flex`, `priority`, `batch`, `fast`."""

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400


@dataclass
class Report:
    """What the compiled table leaves out or rounds. Names are `provider/model`."""

    models: int = 0
    unpriced: dict[str, list[str]] = field(default_factory=dict)
    """Models that got no price, by reason."""
    kinds: dict[str, list[str]] = field(default_factory=dict)
    """Models with a price for something that `Usage` does not count, by genai-prices' key."""
    contexts: dict[str, list[str]] = field(default_factory=dict)
    """Models with rates for a request context that is no service tier, by context."""
    input_only: list[str] = field(default_factory=list)
    """Models whose output has no price, so that it would cost as input does: embeddings, classifiers."""
    rounded: list[str] = field(default_factory=list)
    """`provider/model key`: rates that are no whole pico-USD a token and were rounded up."""

    def note(self, group: dict[str, list[str]], key: str, model: str) -> None:
        """Add `model` under `key`, once."""
        names = group.setdefault(key, [])
        if model not in names:
            names.append(model)


def compile_providers(providers: Iterable[types.Provider], report: Report) -> list[list[Any]]:
    """The providers in genai-prices' order (it decides which one wins), in the form that `table.RawProvider` names."""
    return [
        [
            provider.id,
            provider.api_pattern,
            provider.provider_match and compile_clause(provider.provider_match),
            provider.model_match and compile_clause(provider.model_match),
            provider.fallback_model_providers or [],
            [compile_model(provider.id, model, report) for model in provider.models],
        ]
        for provider in providers
    ]


def compile_clause(clause: types.MatchLogic) -> Clause:
    """A clause in the form that `gateway.pricing.match` evaluates."""
    match clause:
        case types.ClauseOr(or_=parts):
            return ["|", [compile_clause(part) for part in parts]]
        case types.ClauseAnd(and_=parts):
            return ["&", [compile_clause(part) for part in parts]]
        case types.ClauseRegex(regex=pattern):
            return ["~", pattern]
    operator, name = _TEXT_CLAUSES[type(clause)]
    return [operator, getattr(clause, name).lower()]


_TEXT_CLAUSES: dict[type, tuple[str, str]] = {
    types.ClauseEquals: ("=", "equals"),
    types.ClauseStartsWith: ("^", "starts_with"),
    types.ClauseEndsWith: ("$", "ends_with"),
    types.ClauseContains: ("*", "contains"),
}


def compile_model(provider: str, model: types.ModelInfo, report: Report) -> list[Any]:
    """A model in the form that `table.RawModel` names; its price is None when it has none that we can use."""
    report.models += 1
    compiler = _ModelCompiler(f"{provider}/{model.id}", model, report)
    return [model.id, compile_clause(model.match), model.context_window, compiler.periods(), compiler.tariff()]


class _ModelCompiler:
    """Samples one model's prices and writes them down as periods."""

    def __init__(self, name: str, model: types.ModelInfo, report: Report) -> None:
        self.name = name
        self.model = model
        self.report = report
        self.unpriced_reason: str | None = None

    def periods(self) -> list[list[Any]] | None:
        """The model's periods, latest first; None when it has no price.

        Each is `[starts_at_s, daily_from_s, daily_to_s, {service tier: [[above, rates, request fee], ...]}]`.
        """
        starts = sorted({_ALWAYS, *self._start_dates()})
        periods = [period for start in reversed(starts) for period in self._days_from(start)]
        if self.unpriced_reason is not None:
            self.report.note(self.report.unpriced, self.unpriced_reason, self.name)
            return None
        return periods

    def tariff(self) -> dict[str, int]:
        """Nano-USD of each unit beside tokens, rounded up: the dearest of the day of the latest prices."""
        start = max((_ALWAYS, *self._start_dates()))
        tariff: dict[str, int] = {}
        for second in (0, *(_second_of_day(each) for each in self._hours())):
            listed = self.model.get_prices(start + timedelta(seconds=second)).__dict__
            for key, (unit, nano_of_usd) in UNIT_KEYS.items():
                if isinstance(listed.get(key), Decimal):
                    # A quotient of 28 digits is a hair off: what is whole to 12 decimals is whole.
                    nano, _ = whole(round(listed[key] * nano_of_usd, 12))
                    tariff[unit] = max(nano, tariff.get(unit, 0))
        return tariff

    def _hours(self) -> list[time]:
        constraints = [each for each in self._constraints() if isinstance(each, types.TimeOfDateConstraint)]
        return [moment for each in constraints for moment in (each.start_time, each.end_time)]

    def _constraints(self) -> list[types.StartDateConstraint | types.TimeOfDateConstraint]:
        prices = [] if isinstance(self.model.prices, types.ModelPrice) else self.model.prices
        found = [price.constraint for price in prices] + [v.constraint for v in self.model.price_variants or ()]
        return [constraint for constraint in found if constraint is not None]

    def _start_dates(self) -> list[datetime]:
        return [
            datetime.combine(constraint.start_date, time(), UTC)
            for constraint in self._constraints()
            if isinstance(constraint, types.StartDateConstraint)
        ]

    def _days_from(self, start: datetime) -> list[list[Any]]:
        """The periods of a day like those from `start` on: stretches of the day first, then what holds otherwise."""
        cuts = {0, _DAY_S}
        for constraint in self._constraints():
            if isinstance(constraint, types.TimeOfDateConstraint):
                cuts |= {_second_of_day(constraint.start_time), _second_of_day(constraint.end_time)}
        edges = sorted(cuts)
        stretches = [
            (begin, end, self._service_tiers(start + timedelta(seconds=begin))) for begin, end in pairwise(edges)
        ]
        starts_at_s = None if start == _ALWAYS else int(start.timestamp())
        usual = max(
            (tiers for _, _, tiers in stretches), key=lambda t: sum(e - b for b, e, other in stretches if other == t)
        )
        special = [[starts_at_s, begin, end, tiers] for begin, end, tiers in stretches if tiers != usual]
        return [*special, [starts_at_s, None, None, usual]]

    def _service_tiers(self, at: datetime) -> dict[str, list[Any]]:
        default = self._context_tiers(self.model.get_prices(at))
        tiers = {"default": default}
        for variant in self.model.price_variants or ():
            [(context, value)] = variant.when.items()
            if context not in TIER_CONTEXTS:
                self.report.note(self.report.contexts, f"{context}={value}", self.name)
                continue
            rates = self._context_tiers(self.model.get_prices(at, variant.when))
            if rates != default:
                tiers[value] = rates
        return tiers

    def _context_tiers(self, price: types.ModelPrice) -> list[list[Any]]:
        listed = {key: value for key, value in price.__dict__.items() if value is not None}
        self._note_kinds(listed)
        if not listed and not self.model.id.endswith(":free"):
            self.unpriced_reason = "no rates, and not called free"
        elif listed and "input_mtok" not in listed:
            self.unpriced_reason = "not priced by tokens"
        thresholds = {
            tier.start for value in listed.values() if isinstance(value, types.TieredPrices) for tier in value.tiers
        }
        return [[above, *self._rates(listed, above)] for above in [-1, *sorted(thresholds)]]

    def _note_kinds(self, listed: dict[str, Any]) -> None:
        for key in listed:
            if key not in (RATE_KEYS.keys() | UNIT_KEYS.keys() | {REQUEST_KEY}) and "input_mtok" in listed:
                self.report.note(self.report.kinds, key, self.name)
        if "input_mtok" in listed and "output_mtok" not in listed and self.name not in self.report.input_only:
            self.report.input_only.append(self.name)

    def _rates(self, listed: dict[str, Any], above: int) -> tuple[tuple[int, ...], int]:
        """The rates in `RATE_NAMES`' order, and the fee per request, for an input just longer than `above`."""
        rates = {"input": 0}  # of a model that is called free; any other one lists it
        for key, name in RATE_KEYS.items():
            if key in listed:
                rates[name] = self._whole(key, _in_tier(listed[key], above) * PICO_PER_TOKEN_OF_USD_PER_MTOK)
        fee = _in_tier(listed.get(REQUEST_KEY, Decimal(0)), above) * NANO_OF_USD_PER_THOUSAND
        return complete(rates), self._whole(REQUEST_KEY, fee)

    def _whole(self, key: str, amount: Decimal) -> int:
        rounded, exact = whole(amount)
        entry = f"{self.name} {key}"
        if not exact and entry not in self.report.rounded:
            self.report.rounded.append(entry)
        return rounded


def _in_tier(value: Decimal | types.TieredPrices, above: int) -> Decimal:
    """The price of an input just longer than `above`: a tier holds for all of an input longer than its start."""
    if isinstance(value, Decimal):
        return value
    reached = [tier.price for tier in value.tiers if above >= tier.start]
    return reached[-1] if reached else value.base


def _second_of_day(moment: time) -> int:
    """Second of the UTC day; a time without a zone is UTC."""
    if moment.tzinfo is not None:
        moment = datetime.combine(_ALWAYS.date(), moment).astimezone(UTC).timetz()
    return moment.hour * 3600 + moment.minute * 60 + moment.second
