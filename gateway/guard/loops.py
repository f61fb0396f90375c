"""When an agent's tool calls go round in circles. Pure.

The rule: **the same call with the same result, `threshold` times within the last `window` calls, and nothing new in
between.** New is

- a call that may change something (an edit, a shell command) and has not been made like this before,
- the same call with another result: a job that moves on, the next page, the next message,
- words of the user that were not said before.

A call not made before that only looks (its name says so) is nothing new: looking elsewhere does not change what the
first call finds. Two calls that alternate, or three that take turns, satisfy the rule by themselves, since each is
nothing new from its second time on.

A call whose result asks to come again (a job that is pending, an error that passes) or that only passes the time gets
`PATIENCE` times both numbers. Calls made side by side in one message count once.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Final, Literal, NamedTuple

import msgspec

from gateway.guard.calls import History, Step
from gateway.guard.hints import is_waiting, lasting, only_looks, wording
from gateway.guard.settings import LoopRule

PATIENCE: Final = 4

FindingKind = Literal["repeated_call", "alternating_calls", "repeated_prompt"]


class Finding(NamedTuple):
    """A loop."""

    kind: FindingKind
    times: int
    """How often it has gone round."""
    detail: str
    """For people: names the tool, never its arguments."""


class _Seen(NamedTuple):
    """A step as the rule sees it."""

    tool: str
    call: tuple[str, bytes]
    key: tuple[str, bytes, bytes]
    """The same key: the same call with the same result."""
    turn: int
    waiting: bool


def find_loop(messages: msgspec.Raw, count: int, rule: LoopRule, since: int = 0) -> Finding | None:
    """The loop that the tool calls of a chat request are in, if any.

    `messages` is the request's array of `count` messages. Calls from before message `since` do not count: what was
    found once and forgiven by an operator is not found again (`RunMemory.forgive`).
    """
    history = History.of(messages, count)
    if history is None:
        return None
    recent = history.steps(rule.window, since)
    calls = Counter((step.tool, step.arguments) for step in recent if step.tool)
    if not calls or max(calls.values()) < rule.threshold:  # nearly always
        return None
    longer = _seen(history.steps(rule.window * PATIENCE, since))
    return _round(longer, rule.window, rule.threshold, waiting=False) or _round(
        longer, rule.window * PATIENCE, rule.threshold * PATIENCE, waiting=True
    )


def _seen(steps: list[Step]) -> list[_Seen]:
    seen: list[_Seen] = []
    side_by_side: set[tuple[str, bytes, bytes]] = set()
    turn = -1
    for step in steps:
        if step.turn != turn:
            turn = step.turn
            side_by_side = set()
        result = lasting(step.result) if step.tool else wording(step.result)
        key = (step.tool, step.arguments, result)
        if key not in side_by_side:
            side_by_side.add(key)
            waiting = bool(step.tool) and is_waiting(step.tool, step.arguments, step.result)
            seen.append(_Seen(step.tool, (step.tool, step.arguments), key, turn, waiting))
    return seen


def _round(steps: list[_Seen], window: int, threshold: int, *, waiting: bool) -> Finding | None:
    """The loop at the end of `steps`, among the last `window` calls."""
    steps = _last_calls(steps, window)
    known: set[tuple[str, bytes, bytes]] = set()
    called: set[tuple[str, bytes]] = set()
    counts: Counter[tuple[str, bytes, bytes]] = Counter()
    for step in steps:
        if step.key not in known:
            known.add(step.key)
            if not step.tool or step.call in called or not only_looks(step.tool):
                counts.clear()  # something new: what is done again now may come out otherwise
            called.add(step.call)
        counts[step.key] += 1
    looping = [
        (count, key)
        for key, count in counts.items()
        if count >= threshold and any(step.key == key and step.waiting is waiting and step.tool for step in steps)
    ]
    return _finding(steps, max(looping)) if looping else None


def _last_calls(steps: list[_Seen], window: int) -> list[_Seen]:
    calls = 0
    for index in range(len(steps) - 1, -1, -1):
        calls += bool(steps[index].tool)
        if calls == window:
            return steps[index:]
    return steps


def _finding(steps: list[_Seen], worst: tuple[int, tuple[str, bytes, bytes]]) -> Finding:
    count, key = worst
    calls = [step for step in steps if step.tool]
    others = [step.key for before, step in pairwise(calls) if before.key == key != step.key]
    times = f"{count} times within the last {len(calls)} tool calls, with the same arguments and the same result"
    if len(others) >= count - 1 and len(set(others)) == 1:
        return Finding("alternating_calls", count, f"`{key[0]}` and `{others[0][0]}` were called in turn, {times}")
    return Finding("repeated_call", count, f"`{key[0]}` was called {times}")
