"""The simulator's own endpoints under /sim: its bill and its scheduled faults."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import parse_qs

import msgspec

from gateway.simulator.bill import Bill
from gateway.simulator.errors import invalid, missing
from gateway.simulator.faults import Schedule, Scheduled, UnknownFault, make, parse
from gateway.simulator.fields import Body, optional, whole
from gateway.simulator.listener import Listener

_LONGEST_WAIT_S = 60.0


class Control:
    """Reads and sets what holds for the whole server."""

    def __init__(self, bill: Bill, schedule: Schedule) -> None:
        self.listener: Listener | None = None
        """Set once there is one: it needs the application first."""
        self._bill = bill
        self._schedule = schedule
        self._tasks: set[asyncio.Task[None]] = set()

    async def show_bill(self, query: bytes) -> bytes:
        """`GET /sim/bill`; `?min_records=N` waits until N generations are billed, at most `timeout_s` (5)."""
        values = {name: found[-1] for name, found in parse_qs(query.decode("latin-1")).items()}
        try:
            wanted = int(values.get("min_records", "0"))
            timeout_s = min(_LONGEST_WAIT_S, float(values.get("timeout_s", "5")))
        except ValueError:
            raise invalid("min_records and timeout_s must be numbers.") from None
        try:
            await asyncio.wait_for(self._bill.wait(wanted), timeout_s)
        except TimeoutError:
            pass  # the bill as it is
        return msgspec.json.encode(self._bill.as_dict())

    def clear_bill(self) -> bytes:
        """`DELETE /sim/bill`."""
        self._bill.clear()
        return msgspec.json.encode(self._bill.as_dict())

    def show_faults(self) -> bytes:
        """`GET /sim/faults`."""
        now = time.monotonic()
        return msgspec.json.encode([_shown(entry, now) for entry in self._schedule.entries])

    def clear_faults(self) -> bytes:
        """`DELETE /sim/faults`."""
        self._schedule.entries.clear()
        return self.show_faults()

    async def add_fault(self, body: Body) -> bytes:
        """`POST /sim/faults`. Raises SimError (400)."""
        name = optional(body, "fault", str, "a string")
        if name is None:
            raise missing("fault")
        in_s, for_s = _number(body, "in_s") or 0.0, _number(body, "for_s")
        count = whole(body, "count", 1)
        if name == "refuse":
            await self._refuse(in_s, 1.0 if for_s is None else for_s)
        elif name == "reset-connect":
            assert self.listener is not None  # noqa: S101 - set before the first request can come
            self.listener.reset_next += count or 1
        else:
            self._schedule.entries.append(_read(body, name, (in_s, for_s), count))
        return self.show_faults()

    async def _refuse(self, in_s: float, for_s: float) -> None:
        listener = self.listener
        assert listener is not None  # noqa: S101 - set before the first request can come
        if not in_s:  # whoever asks finds it so
            await listener.refuse()
        task = asyncio.get_running_loop().create_task(_reopen(listener, in_s, for_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Forget what was planned."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _reopen(listener: Listener, in_s: float, for_s: float) -> None:
    if in_s:
        await asyncio.sleep(in_s)
        await listener.refuse()
    await asyncio.sleep(for_s)
    await listener.open()


def _read(body: Body, name: str, times: tuple[float, float | None], count: int | None) -> Scheduled:
    """`times`: in how many seconds it begins, and for how many it lasts."""
    in_s, for_s = times
    params: Body = optional(body, "params", dict, "an object") or {}
    models = optional(body, "models", list, "an array of strings") or []
    probability = _number(body, "probability")
    try:
        fault = parse(name)
        if params:
            fault = make(fault.name, {**fault.params, **params})
    except UnknownFault as error:
        raise invalid(str(error), "fault") from None
    from_s = time.monotonic() + in_s
    return Scheduled(
        fault=fault,
        probability=1.0 if probability is None else probability,
        models=tuple(map(str, models)),
        remaining=count,
        until_s=None if for_s is None else from_s + for_s,
        from_s=from_s,
    )


def _number(body: Body, name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise invalid(f"'{name}' must be a number of at least 0.", name)
    return float(value)


def _shown(entry: Scheduled, now: float) -> dict[str, Any]:
    return {
        "fault": entry.fault.name,
        "params": dict(entry.fault.params),
        "probability": entry.probability,
        "models": list(entry.models),
        "count": entry.remaining,
        "in_s": max(0.0, round(entry.from_s - now, 3)),
        "for_s": None if entry.until_s is None else max(0.0, round(entry.until_s - max(now, entry.from_s), 3)),
    }
