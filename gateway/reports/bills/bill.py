"""A provider's bill as lines, whatever the export looked like. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from gateway.reports.periods import day_of, day_of_time
from routing.money import NANO_PER_USD

_DATED = re.compile(r"-(?:[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2})$")
MAX_COUNT: Final = 10**18


class BillError(ValueError):
    """An export that cannot be read, with the line."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")


class BillLine(NamedTuple):
    """What a provider says of one model on one UTC day, or a part of that."""

    day: int
    model: str
    """The provider's name; empty where the export does not tell models apart."""
    cost: Decimal | None = None
    """USD; None in an export of usage alone."""
    input_tokens: int | None = None
    """All of them, cached ones too; None in an export of costs alone."""
    output_tokens: int | None = None
    cached_tokens: int | None = None
    requests: int | None = None
    batch: bool = False
    """Whether it was sent as a batch, which Farebox does not do."""


class Billed(NamedTuple):
    """All lines of one model on one day."""

    model: str
    cost: int | None
    """Nano-USD."""
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    requests: int | None
    batch: bool


def canonical(model: str) -> str:
    """What a model's name comes to without its date: `Claude Haiku 4.5` and `claude-haiku-4-5-20251001` are one."""
    name = re.sub(r"[\s._]+", "-", model.strip().lower())
    return _DATED.sub("", name)


def add_up(lines: Iterable[BillLine]) -> dict[tuple[int, str], Billed]:
    """By day and canonical name. What no line tells is None."""
    gathered: dict[tuple[int, str], list[BillLine]] = {}
    for line in lines:
        gathered.setdefault((line.day, canonical(line.model)), []).append(line)
    return {key: _billed(found) for key, found in gathered.items()}


def _billed(lines: list[BillLine]) -> Billed:
    costs = [line.cost for line in lines if line.cost is not None]
    cost = round(sum(costs, Decimal(0)) * NANO_PER_USD) if costs else None

    def total(name: str) -> int | None:
        counts = [getattr(line, name) for line in lines if getattr(line, name) is not None]
        return sum(counts) if counts else None

    return Billed(
        lines[0].model,
        cost,
        total("input_tokens"),
        total("output_tokens"),
        total("cached_tokens"),
        total("requests"),
        batch=any(line.batch for line in lines),
    )


class Fields:
    """One record of an export: its fields by name, unknown ones ignored, and where it stands."""

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where = where
        self._values = values

    def text(self, *names: str) -> str:
        """The first of these fields that says something; empty when none does."""
        for name in names:
            value = self._values.get(name)
            if value is not None and str(value).strip():
                return str(value).strip()
        return ""

    def count(self, *names: str) -> int:
        """A whole number, 0 when it is missing. Raises BillError."""
        text = self.text(*names).replace(",", "")
        if not text:
            return 0
        if not re.fullmatch(r"[0-9]{1,18}(\.0+)?", text):
            raise BillError(self.where, f"`{names[0]}` should be a count, not `{text[:40]}`")
        return int(text.partition(".")[0])

    def amount(self, *names: str) -> Decimal:
        """An amount of money. Raises BillError."""
        text = self.text(*names).replace(",", "").removeprefix("$")
        try:
            found = Decimal(text)
        except InvalidOperation:
            found = Decimal("NaN")
        if not found.is_finite() or abs(found) > MAX_COUNT:
            raise BillError(self.where, f"`{names[0]}` should be an amount of money, not `{text[:40]}`")
        return found

    def day(self, *names: str) -> int:
        """A day: of a date, of a time in UTC, of a Unix time. Raises BillError."""
        text = self.text(*names)
        try:
            if re.fullmatch(r"[0-9]{9,11}", text):
                return day_of_time(int(text))
            if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
                return day_of(text)
            at = datetime.fromisoformat(text)
            return day_of_time((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            raise BillError(self.where, f"`{names[0]}` should be a date, not `{text[:40]}`") from None
