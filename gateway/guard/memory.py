"""What a gateway remembers of a run to tell when its prompts repeat. Pure; bounded, whatever a client sends."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from gateway.guard.loops import Finding, find_loop
from gateway.guard.settings import LoopRule

MAX_RETRIES: Final = 3
"""An SDK's own retries of one prompt that do not count."""

_NO_PART = "metadata prompt_cache_key safety_identifier session_id store stream stream_options user"
_NO_PART_OF_A_PROMPT = frozenset(_NO_PART.split())


def fingerprint(fields: Mapping[str, msgspec.Raw]) -> int:
    """Tells a request from others by everything that a model sees of it. Of this process only; 64 bits."""
    return hash(tuple([(name, bytes(raw)) for name, raw in fields.items() if name not in _NO_PART_OF_A_PROMPT]))


class RunMemory:
    """The latest prompts of one run."""

    __slots__ = ("_latest", "_retries", "forgiven")

    def __init__(self) -> None:
        self._latest: deque[int] = deque()
        self._retries: dict[int, int] = {}
        self.forgiven = 0
        """Messages of the run's history up to which loops were found and dealt with."""

    def begin(self, prompt: int, rule: LoopRule, *, retry: bool) -> Finding | None:
        """Note a request by its fingerprint. A finding when it was answered before, often enough to be a loop.

        `retry`: the SDK says that it sends this again by itself (`x-stainless-retry-count` above 0). Requests that
        are still being answered do not count against their twins: an agent may ask the same in parallel, to vote.
        Follow it by `end`, whatever becomes of the request.
        """
        if retry and self._retries.get(prompt, 0) < MAX_RETRIES:
            if len(self._retries) >= rule.window and prompt not in self._retries:
                del self._retries[next(iter(self._retries))]
            self._retries[prompt] = self._retries.get(prompt, 0) + 1
            return None
        count = 1 + sum(seen == prompt for seen in self._latest)
        if count >= rule.threshold:
            detail = f"the same prompt came {count} times within the run's last {len(self._latest) + 1} requests"
            return Finding("repeated_prompt", count, detail)
        return None

    def end(self, prompt: int, rule: LoopRule, *, answered: bool) -> None:
        """The request is over. One that got no answer may be sent again without being a loop."""
        if answered:
            self._latest.append(prompt)
            while len(self._latest) >= rule.window:
                self._latest.popleft()

    def forgive(self, messages: int) -> None:
        """A loop in a history of so many messages was dealt with: an operator who resumes the run forgives it."""
        self.forgiven = messages
        self._latest.clear()
        self._retries.clear()


class RunMemories:
    """The memories of the latest runs; those of the longest idle ones are dropped."""

    def __init__(self, max_runs: int = 10_000) -> None:
        self._max_runs = max_runs
        self._by_run: OrderedDict[str, RunMemory] = OrderedDict()

    def of(self, run: str) -> RunMemory:
        """The memory of a run (`agent/run`), a new one if need be."""
        memory = self._by_run.get(run)
        if memory is None:
            memory = self._by_run[run] = RunMemory()
            if len(self._by_run) > self._max_runs:
                self._by_run.popitem(last=False)
        else:
            self._by_run.move_to_end(run)
        return memory

    def __len__(self) -> int:
        return len(self._by_run)


class Look(NamedTuple):
    """What the guard saw of one request."""

    finding: Finding | None
    prompt: int | None
    """Its fingerprint: for `RunMemory.end`, once the request is over. None when it has no prompt."""


def look(
    fields: Mapping[str, msgspec.Raw], messages: int, rule: LoopRule, memory: RunMemory, *, retry: bool = False
) -> Look:
    """Look for a loop in a request of the run that `memory` is of: in its tool calls, and in its coming again.

    `fields` and `messages` are those of the request and its profile; `retry` as for `RunMemory.begin`. Requests
    without a run have tool calls only: `find_loop`. Embeddings are left alone: an agent that looks the same question up
    at every step embeds the same text.
    """
    if "messages" not in fields and "prompt" not in fields:
        return Look(None, None)
    prompt = fingerprint(fields)
    finding = memory.begin(prompt, rule, retry=retry)
    if finding is None and (history := fields.get("messages")) is not None:
        since = memory.forgiven if memory.forgiven <= messages else 0  # shorter than it was: another conversation
        finding = find_loop(history, messages, rule, since)
    return Look(finding, prompt)
