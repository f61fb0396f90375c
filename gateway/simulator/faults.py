"""Faults on demand: what there is, how they are named, and the server-wide schedule.

Written `NAME` or `NAME;key=value;key=value`, in the header `x-sim-fault` (several separated by commas), after the
model's name (`sim-small+fault-cut;after=5`) or through `POST /sim/faults`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gateway.simulator import chance

HEADER = b"x-sim-fault"
SUFFIX = "+fault-"
Value = float | str


class Kind(NamedTuple):
    """A fault: what it does, and its parameters with their defaults."""

    doc: str
    params: Mapping[str, Value]


_AFTER: Mapping[str, Value] = {"after": 3.0}
STATUS = Kind(
    "Any status from 400 to 599 (`429`, `500`, `503`, `401`, `403`, `400` ...), refused before anything is generated.",
    {"retry_after": -1.0, "code": "", "message": "", "body": ""},
)
KINDS: dict[str, Kind] = {
    "reset": Kind("The connection is reset before the answer's first byte; nothing is generated.", {}),
    "html": Kind("200 with an HTML page; nothing is generated.", {}),
    "stall": Kind("No byte for `s` seconds; the prompt is billed.", {"s": 3600.0}),
    "stall-mid": Kind(
        "Generation stops after `after` tokens for `s` seconds, then goes on.", {"after": 3.0, "s": 3600.0}
    ),
    "slow": Kind(
        "`x` times slower; or fixed times, at any speed, to the first token (`first_ms`) and between two (`token_ms`).",
        {"x": 1.0, "first_ms": -1.0, "token_ms": -1.0},
    ),
    "cut": Kind("Connection reset after `after` tokens; a plain answer is cut short of its Content-Length.", _AFTER),
    "no-done": Kind("The stream ends properly after `after` tokens, without finish reason, usage or `[DONE]`.", _AFTER),
    "unterminated": Kind("The stream ends after `after` tokens inside an event: its blank line is missing.", _AFTER),
    "error-event": Kind(
        "After `after` tokens an error in the stream, then its end; `as=failed`: of responses the event of that name.",
        {"after": 3.0, "as": ""},
    ),
    "bad-json": Kind("After `after` tokens one event whose data is no JSON; a plain answer is truncated JSON.", _AFTER),
    "garbage": Kind("After `after` tokens bytes that are no event; a plain answer is garbage.", _AFTER),
    "missing-usage": Kind("No usage, though it was asked for.", {}),
    "late-usage": Kind("The usage event comes `ms` milliseconds after the rest.", {"ms": 200.0}),
    "usage-after-done": Kind("The usage event comes after `[DONE]`.", {"ms": 0.0}),
    "usage-on-last": Kind("Usage on the event with the finish reason instead of an event of its own.", {}),
    "linger": Kind(
        "After the client left, generation goes on for `ms` milliseconds, or `tokens` tokens, and is billed.",
        {"ms": 0.0, "tokens": -1.0},
    ),
    "length": Kind("A text of exactly `tokens` tokens, unless a bound cuts it short.", {"tokens": 100.0}),
    "one-tool": Kind(
        "An agent's model: it calls the first tool with `name` in its name once, then answers.", {"name": ""}
    ),
    "single": Kind("Every event carries one token, or as many as a character takes.", {}),
    "gzip": Kind("A compressed body, asked for or not.", {}),
    "multiline": Kind("Every event spread over several `data:` lines.", {}),
    "comments": Kind("A `: ping` comment before every event.", {}),
}


class UnknownFault(ValueError):
    """No such fault or parameter; the message names the valid ones."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault with all its parameters."""

    name: str
    params: Mapping[str, Value]

    def number(self, key: str) -> float:
        """A numeric parameter."""
        return float(self.params[key])

    @property
    def status(self) -> int | None:
        """The status of a status fault, else None."""
        return int(self.name) if self.name.isdigit() else None


class Faults(tuple[Fault, ...]):
    """The faults of one request."""

    __slots__ = ()

    def find(self, name: str) -> Fault | None:
        """The fault called `name`, if asked for."""
        return next((fault for fault in self if fault.name == name), None)

    @property
    def status(self) -> Fault | None:
        """The first status fault, if one was asked for."""
        return next((fault for fault in self if fault.status is not None), None)

    @property
    def names(self) -> str:
        """Comma-separated."""
        return ",".join(fault.name for fault in self)


NONE = Faults()


def make(name: str, params: Mapping[str, object]) -> Fault:
    """A fault with its defaults filled in. Raises UnknownFault."""
    kind = STATUS if name.isdigit() and len(name) == 3 and name[0] in "45" else KINDS.get(name)
    if kind is None:
        raise UnknownFault(f"no fault {name!r}; there are: a status such as 503, {', '.join(KINDS)}")
    values = dict(kind.params)
    for key, value in params.items():
        if key not in values:
            raise UnknownFault(f"fault {name!r} has no parameter {key!r}; it has: {', '.join(values) or 'none'}")
        if isinstance(values[key], str):
            values[key] = str(value)
            continue
        try:
            values[key] = float(str(value))
        except ValueError:
            raise UnknownFault(f"{key!r} of fault {name!r} must be a number, not {value!r}") from None
    return Fault(name, values)


def parse(text: str) -> Fault:
    """Read `NAME;key=value;...`. Raises UnknownFault."""
    name, *pairs = (part.strip() for part in text.split(";"))
    return make(name, dict(_pair(pair) for pair in pairs if pair))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UnknownFault(f"{text!r} is not key=value")
    return key.strip(), value.strip()


def parse_header(text: str) -> Faults:
    """Read the header: faults separated by commas. Raises UnknownFault."""
    return Faults(parse(part) for part in text.split(",") if part.strip())


def split_model(name: str) -> tuple[str, Faults]:
    """`sim-small+fault-500` is the model `sim-small` and the fault `500`. Raises UnknownFault."""
    base, *suffixes = name.split(SUFFIX)
    return base, Faults(map(parse, suffixes)) if suffixes else NONE


@dataclass(slots=True)
class Scheduled:
    """A fault that strikes any request, by chance."""

    fault: Fault
    probability: float = 1.0
    models: tuple[str, ...] = ()
    """Empty strikes all."""
    remaining: int | None = None
    until_s: float | None = None
    """On the clock that `Schedule.strike` is given."""
    from_s: float = 0.0
    """On the same clock: it does not strike before."""


class Schedule:
    """The server-wide faults."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._draws = 0
        self.entries: list[Scheduled] = []

    def strike(self, model: str, now: float) -> Faults:
        """The faults that this request gets, drawn by seed and order of requests."""
        if not self.entries:
            return NONE
        self._draws += 1
        dice = chance.dice(self._seed, "schedule", self._draws)
        self.entries = [e for e in self.entries if e.remaining != 0 and (e.until_s is None or now < e.until_s)]
        struck: list[Fault] = []
        for entry in self.entries:
            if now < entry.from_s:
                continue
            if (not entry.models or model in entry.models) and dice.random() < entry.probability:
                struck.append(entry.fault)
                if entry.remaining is not None:
                    entry.remaining -= 1
        return Faults(struck)
