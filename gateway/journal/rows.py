"""Events to rows and back. Pure. Making a row is on the budget of every request, so it is done by slices.

The slices follow the order of the events' fields and of the tables' columns; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import GenericAlias
from typing import Any, get_type_hints

import msgspec

from gateway.ledger.budgets import RunLimits
from gateway.ledger.operations import Run
from gateway.telemetry.events import Adjusted, ChargePosted, Choice, RequestFinished, RunChanged
from routing.decision import Considered, Shadow
from routing.money import Usage
from routing.profile import RequestProfile

Row = tuple[Any, ...]

MICROS = 1_000_000
NO_TAGS = "{}"
RUN_SEPARATOR = ">"
"""Between the runs of a path, from the root down. No id has it."""

_encode = msgspec.json.encode


def _object(values: Any, **other: Any) -> Any:
    """A struct with the fields of a NamedTuple, some of `other` types.

    msgspec writes a NamedTuple as an array; a struct is written as an object, which SQL can read. What has its default
    is left out.
    """
    defaults = getattr(values, "_field_defaults", {})
    hints = get_type_hints(values)
    fields = [
        (name, other.get(name, hints[name]), defaults[name]) if name in defaults else (name, hints[name])
        for name in hints
    ]
    return msgspec.defstruct(f"_{values.__name__}Object", fields, module=__name__, omit_defaults=True)


_ProfileObject = _object(RequestProfile)
_ConsideredObject = _object(Considered)
_ShadowObject = _object(Shadow)
_ChoiceObject = _object(
    Choice, considered=GenericAlias(tuple, (_ConsideredObject, ...)), shadows=GenericAlias(tuple, (_ShadowObject, ...))
)
_UNDECIDED = (None, None)
_INT64_MAX = 2**63 - 1
_SECONDS_MAX = 9e12
"""More would not be 64 bits of microseconds."""


def to_us(at_s: float) -> int:
    """Seconds since the epoch as integer microseconds."""
    return round(at_s * MICROS)


def to_s(at_us: int) -> float:
    """Integer microseconds as seconds since the epoch."""
    return at_us / MICROS


def charge_row(charge: ChargePosted) -> Row:
    """The row of `charges` for an event."""
    run_path, tags, window_at_s, own_s = charge[22], charge[24], charge[25] or charge[3], charge[28]
    return (
        *charge[:3],
        round(charge[3] * MICROS),
        *charge[4:11],
        *charge[11],
        *charge[12:23],
        run_path.partition(RUN_SEPARATOR)[0] or None,
        charge[23],
        _encode(dict(tags)).decode() if tags else NO_TAGS,
        round(window_at_s * MICROS),
        *charge[26:28],
        None if not own_s or own_s == window_at_s else round(own_s * MICROS),
        *charge[29:],
    )


def request_row(request: RequestFinished) -> Row:
    """The row of `requests` for an event; its content is a row of its own."""
    tags = request[10]
    profile, choice = request[15], request[27]
    return (
        request[0],
        round(request[1] * MICROS),
        *request[2:10],
        _encode(dict(tags)).decode() if tags else NO_TAGS,
        *request[11:15],
        None if profile is None else _encode(_ProfileObject(*profile)).decode(),
        *request[16:27],
        *(_UNDECIDED if choice is None else (choice.policy, choice_json(choice))),
    )


def choice_json(choice: Choice) -> str:
    """A decision as a JSON object, without what has its usual value."""
    considered = tuple([_ConsideredObject(*each) for each in choice.considered])
    shadows = tuple([_ShadowObject(*each) for each in choice.shadows])
    return _encode(_ChoiceObject(*choice._replace(considered=considered, shadows=shadows))).decode()


def choice_of(text: str) -> Choice:
    """The decision that was written as a JSON object. Raises msgspec.DecodeError."""
    found = msgspec.json.decode(text, type=_ChoiceObject)
    found.considered = tuple([Considered(*msgspec.structs.astuple(each)) for each in found.considered])
    found.shadows = tuple([Shadow(*msgspec.structs.astuple(each)) for each in found.shadows])
    return Choice(*msgspec.structs.astuple(found))


def content_row(request: RequestFinished) -> Row:
    """The row of `contents` for a request that carries its bodies."""
    bodies = request.content or (b"", b"")
    return (request.request_id, *bodies)


def run_row(change: RunChanged) -> Row:
    """The row of `runs` for an event."""
    run = change.run
    return (
        run.id,
        run.path[1] if len(run.path) > 1 else None,
        RUN_SEPARATOR.join(reversed(run.path)),
        run.org,
        run.agent,
        _encode(run.limits).decode(),
        to_us(run.opened_at_s),
        to_us(run.closes_at_s),
        run.carve,
        run.state,
        run.reason,
        to_us(change.at_s),
    )


def adjustment_row(entry: Adjusted) -> Row:
    """The row of `adjustments` for an event."""
    return (entry[0], to_us(entry[1]), *entry[2:4], to_us(entry[4]), *entry[5:])


def charge_of(row: Sequence[Any]) -> ChargePosted:
    """The event that a row of `charges` was made from."""
    usage_end = 11 + len(Usage._fields)
    head, usage, tail = row[:11], row[11:usage_end], row[usage_end:]
    run_path, _root, user, tags, window_at_us = tail[10:15]
    return ChargePosted._make(
        (
            *head[:3],
            to_s(head[3]),
            *head[4:],
            Usage(*usage),
            *tail[:10],
            run_path,
            user,
            tags_of(tags),
            to_s(window_at_us),
            *tail[15:17],
            0.0 if tail[17] is None else to_s(tail[17]),
            *tail[18:],
        )
    )


def run_of(row: Sequence[Any]) -> RunChanged:
    """The event that a row of `runs` was made from: the latest change of the run."""
    path = tuple(reversed(row[2].split(RUN_SEPARATOR)))
    limits = msgspec.json.decode(row[5], type=RunLimits)
    run = Run(row[0], path, row[3], row[4], limits, to_s(row[6]), to_s(row[7]), *row[8:11])
    return RunChanged(run, to_s(row[11]))


def adjustment_of(row: Sequence[Any]) -> Adjusted:
    """The event that a row of `adjustments` was made from."""
    return Adjusted._make((row[0], to_s(row[1]), *row[2:4], to_s(row[4]), *row[5:]))


def request_of(row: Sequence[Any], content: tuple[bytes, bytes] | None = None) -> RequestFinished:
    """The event that a row of `requests` was made from."""
    profile = None if row[15] is None else profile_of(row[15])
    choice = None if row[28] is None else choice_of(row[28])
    return RequestFinished._make(
        (row[0], to_s(row[1]), *row[2:10], tags_of(row[10]), *row[11:15], profile, *row[16:27], choice, content, "")
    )


def tags_of(text: str) -> tuple[tuple[str, str], ...]:
    """Tags from their JSON object."""
    return tuple(msgspec.json.decode(text, type=dict[str, str]).items()) if text != NO_TAGS else ()


def profile_of(text: str) -> RequestProfile:
    """A profile from its JSON object."""
    return RequestProfile(*msgspec.structs.astuple(msgspec.json.decode(text, type=_ProfileObject)))


def salvage(event: Any) -> Any:
    """The nearest event whose row every database takes, for one that a driver refused.

    Integers are cut to 64 bits, text loses NUL characters and lone surrogates, a NaN becomes 0, at any depth: tags and
    the profile too. Such values can only come from a client or provider that makes them up.
    """
    if isinstance(event, tuple):
        parts = map(salvage, event)
        return event._make(parts) if hasattr(event, "_make") else tuple(parts)
    if isinstance(event, bool):
        return event
    if isinstance(event, int):
        return max(-_INT64_MAX, min(_INT64_MAX, event))
    if isinstance(event, float):
        return max(-_SECONDS_MAX, min(_SECONDS_MAX, event)) if event == event else 0.0  # noqa: PLR0124  only a NaN differs from itself
    if isinstance(event, str):
        return event.encode("utf-8", "backslashreplace").decode().replace("\0", "")
    return event
