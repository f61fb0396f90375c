from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guard.memory import MAX_RETRIES, RunMemories, RunMemory, fingerprint, look
from gateway.guard.settings import LoopRule
from tests.gateway.guard.corpus.looping import the_same_search

RULE = LoopRule()


def fields(**values: Any) -> Mapping[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}


def ask(memory: RunMemory, prompt: int, *, retry: bool = False, answered: bool = True) -> int | None:
    """One request from beginning to end: how often it came, when that is too often."""
    finding = memory.begin(prompt, RULE, retry=retry)
    memory.end(prompt, RULE, answered=answered)
    return None if finding is None else finding.times


def test_the_third_of_the_same_prompts_is_a_loop() -> None:
    memory = RunMemory()
    assert [ask(memory, 1) for _ in range(4)] == [None, None, 3, 4]


def test_prompts_beyond_the_window_are_forgotten() -> None:
    memory = RunMemory()
    assert [ask(memory, prompt) for prompt in (1, 1, *range(2, 11), 1)] == [None] * 12
    memory = RunMemory()
    assert [ask(memory, prompt) for prompt in (1, 1, *range(2, 9), 1)] == [*[None] * 9, 3]


def test_the_same_prompt_in_parallel_is_a_vote() -> None:
    memory = RunMemory()
    assert [memory.begin(1, RULE, retry=False) for _ in range(5)] == [None] * 5


def test_a_prompt_without_an_answer_may_come_again() -> None:
    memory = RunMemory()
    assert [ask(memory, 1, answered=False) for _ in range(6)] == [None] * 6


def test_an_sdk_may_retry_three_times() -> None:
    memory = RunMemory()
    assert ask(memory, 1) is None
    assert ask(memory, 1) is None
    assert [ask(memory, 1, retry=True) for _ in range(MAX_RETRIES)] == [None] * 3
    assert ask(memory, 1, retry=True) == 6


def test_each_prompt_has_retries_of_its_own_and_few_are_kept() -> None:
    memory = RunMemory()
    for prompt in range(100):
        for _ in range(MAX_RETRIES):
            assert ask(memory, prompt, retry=True, answered=False) is None
    assert len(memory._retries) <= RULE.window


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), max_size=100))
def test_a_memory_stays_small(asked: list[tuple[int, bool, bool]]) -> None:
    memory = RunMemory()
    for prompt, retry, answered in asked:
        ask(memory, prompt, retry=retry, answered=answered)
    assert len(memory._latest) < RULE.window
    assert len(memory._retries) <= RULE.window


def test_a_resumed_run_begins_anew() -> None:
    memory = RunMemory()
    assert [ask(memory, 1) for _ in range(3)] == [None, None, 3]
    memory.forgive(2)
    assert [ask(memory, 1) for _ in range(3)] == [None, None, 3]


def test_a_fingerprint_holds_what_a_model_sees() -> None:
    prompt = fields(model="m", messages=[{"role": "user", "content": "hi"}])
    assert fingerprint(prompt) == fingerprint({**prompt})
    assert fingerprint(prompt) == fingerprint({**prompt, **fields(metadata={"step": "1"}, stream=True, user="u")})
    assert fingerprint(prompt) != fingerprint({**prompt, **fields(seed=2)})
    assert fingerprint(prompt) != fingerprint({**prompt, **fields(messages=[])})


def test_a_look_sees_calls_and_prompts() -> None:
    messages = the_same_search().messages
    request = fields(model="m", messages=messages)
    memory = RunMemory()
    seen = look(request, len(messages), RULE, memory)
    assert seen.finding is not None
    assert seen.finding.kind == "repeated_call"
    memory.forgive(len(messages))
    seen = look(request, len(messages), RULE, memory)
    assert seen.finding is None
    assert seen.prompt is not None
    for _ in range(3):
        memory.end(seen.prompt, RULE, answered=True)
    again = look(request, len(messages), RULE, memory).finding
    assert again is not None
    assert again.kind == "repeated_prompt"


def test_another_conversation_of_the_run_is_looked_at_from_its_beginning() -> None:
    messages = the_same_search().messages
    memory = RunMemory()
    memory.forgive(len(messages) + 100)
    assert look(fields(messages=messages), len(messages), RULE, memory).finding is not None


def test_messages_that_are_none() -> None:
    assert look(fields(messages="no list"), 0, RULE, RunMemory()).finding is None


@pytest.mark.parametrize(("name", "found"), [("prompt", True), ("input", False)])
def test_completions_repeat_and_embeddings_may(name: str, found: bool) -> None:
    memory = RunMemory()
    request = fields(**{"model": "m", name: "text"})
    for _ in range(5):
        seen = look(request, 0, RULE, memory)
        if seen.prompt is not None:
            memory.end(seen.prompt, RULE, answered=True)
    assert (seen.finding is not None) is found


def test_the_longest_idle_run_is_forgotten_first() -> None:
    memories = RunMemories(max_runs=2)
    first = memories.of("a/1")
    memories.of("a/2")
    assert memories.of("a/1") is first
    memories.of("a/3")
    assert memories.of("a/1") is first
    assert len(memories) == 2
