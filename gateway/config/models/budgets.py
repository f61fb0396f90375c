"""Budgets and rate limits, as people write them."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import Field, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.durations import parse_duration, parse_rate
from gateway.config.models.base import FORM, LONG, SHORT, Count, Number, Text, Usd, Written, word
from gateway.config.problems import did_you_mean
from gateway.config.scopes import EXAMPLES, parse_scope
from gateway.ledger.windows import Period

PERIODS = tuple(period for period in get_args(Period) if period != "rolling")
MIN_ROLLING_S = 60
MAX_ROLLING_S = 400 * 86_400
MAX_ALERT = 10

_PERIOD = f"one of {', '.join(PERIODS)}, or `{{rolling: 6h}}`"


def _period(text: str) -> None:
    if text not in PERIODS:
        raise ValueError(f"no window is called {text[:40]!r}{did_you_mean(text, PERIODS)}")


def _rolling(text: str) -> None:
    if not MIN_ROLLING_S <= parse_duration(text) <= MAX_ROLLING_S:
        raise ValueError("a rolling window is at least a minute and at most 400 days long")


def _zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # no zone's name; a folder of the database; not found
        from zoneinfo import available_timezones

        message = f"no time zone is called {name[:40]!r}{did_you_mean(name[:80], available_timezones())}"
        raise ValueError(message if "mean" in message else f"{message}; they are called as in {_ZONE}") from None


_ZONE = "`Europe/Berlin`"
ScopeText = Annotated[str, word(parse_scope, EXAMPLES), WithJsonSchema({"type": "string"})]
Duration = Annotated[str, word(parse_duration, "a length of time such as `30m`"), WithJsonSchema({"type": "string"})]
Zone = Annotated[Text, word(_zone, _ZONE), WithJsonSchema({"type": "string"})]
Mode = Literal["enforce", "shadow"]


class Rolling(Written):
    """The last so many hours."""

    rolling: Annotated[str, word(_rolling, "a length of time such as `6h`"), WithJsonSchema({"type": "string"})] = (
        Field(description="Instead of a calendar's window, the time up to now: `30m`, `6h`, `7d`.")
    )


WindowText = Annotated[str, word(_period, _PERIOD), WithJsonSchema({"enum": list(PERIODS)})]


class Budget(Written):
    """A limit on money."""

    scope: ScopeText = Field(
        description="What it covers: `global`, `org:x`, `team:x`, `agent:x`, `run:*`, `user:x`, `tag:name=x`, "
        "`model:x`, `provider:x` or `deployment:x/y`. With `*` for the value, it has a counter for each."
    )
    limit_usd: Usd = Field(description="What may be spent in one window, USD.")
    window: Annotated[Annotated[Rolling, LONG] | Annotated[WindowText, SHORT], FORM] = Field(
        description="`hour`, `day`, `week`, `month`, `quarter`, `year`, `total`, or `{rolling: 6h}`."
    )
    timezone: Zone | None = Field(
        None, description="Whose midnights calendar windows begin at: `Europe/Berlin`. Default: UTC."
    )
    mode: Mode = Field("enforce", description="`shadow` counts and reports, and refuses nothing.")
    on_exceed: Literal["block", "downgrade"] = Field(
        "block", description="When it is spent: `block` refuses; `downgrade` lets routing take a cheaper model first."
    )
    alert_at: list[Number] = Field(
        [], description="Shares of the limit, ascending, whose crossing is reported: `[0.8, 1.0]`."
    )
    when_missing: Literal["deny", "shared"] = Field(
        "deny",
        description="For a scope with `*`: requests without the value are refused, or they have one `shared` counter.",
    )
    reserve: Literal["strict", "calibrated"] | None = Field(
        None,
        description="What is set aside for an answer: the most it can cost, or what it likely costs, extended while it "
        "streams. Default: as the agent says.",
    )
    on_store_failure: Literal["closed", "open"] = Field(
        "closed", description="While the store is away: `closed` refuses; `open` goes on with the allowance."
    )
    allowance_usd: Usd | None = Field(
        None, description="What each gateway sets aside for that, USD. Only with `on_store_failure: open`."
    )

    @field_validator("alert_at")
    @classmethod
    def _ascending(cls, value: list[float]) -> list[float]:
        if not all(0 < share <= MAX_ALERT for share in value):
            raise PydanticCustomError("alert_at", "shares of the limit are above 0 and at most 10: 0.8 is 80 %")
        if any(later <= earlier for earlier, later in pairwise(value)):
            raise PydanticCustomError("alert_at", "shares ascend: write the smallest first, each once")
        return value


class Quota(Written):
    """So many units in a period."""

    limit: Count = Field(description="Units in each period.")
    per: Duration = Field(description="The period: `1s`, `1m`, `1h`.")
    burst: Count | None = Field(None, description="Units that may come at once. Default: the limit.")


RateText = Annotated[str, word(parse_rate, "a count per time such as `600/min`"), WithJsonSchema({"type": "string"})]
WrittenRate = Annotated[Annotated[Quota, LONG] | Annotated[RateText, SHORT], FORM]


class Limit(Written):
    """A limit on rates in a scope."""

    scope: ScopeText = Field(description="What it covers, as for budgets.")
    requests: WrittenRate | None = Field(None, description="Requests in a time: `600/min`.")
    tokens: WrittenRate | None = Field(
        None, description="Input and output tokens in a time: estimated first, corrected by the answer."
    )
    concurrency: Count | None = Field(None, description="Requests at a time.")
    mode: Mode = Field("enforce", description="`shadow` counts and reports, and refuses nothing.")

    @model_validator(mode="after")
    def _something(self) -> Limit:
        if self.requests is None and self.tokens is None and self.concurrency is None:
            raise PydanticCustomError("limit", "limits nothing: needs `requests`, `tokens` or `concurrency`")
        return self
