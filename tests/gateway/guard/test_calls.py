from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guard.calls import MAX_ARGUMENTS_BYTES, TAIL_BYTES, History, Step
from tests.gateway.guard.corpus.transcript import Transcript, raw

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def steps(messages: list[Any], calls: int = 10, since: int = 0) -> list[Step]:
    history = History.of(raw(messages), len(messages))
    return [] if history is None else history.steps(calls, since)


def test_calls_come_in_order_with_their_results() -> None:
    t = Transcript("Go.").call("a", "1", x=1).together(("b", {}, "2"), ("c", {}, "3"))
    assert [(step.tool, step.result, step.turn) for step in steps(t.messages)] == [
        ("", b'"Go."', 1),
        ("a", b'"1"', 2),
        ("b", b'"2"', 4),
        ("c", b'"3"', 4),
    ]


def test_only_the_last_are_read() -> None:
    t = Transcript()
    for number in range(20):
        t.call("a", str(number))
    assert [step.result for step in steps(t.messages, calls=3)] == [b'"17"', b'"18"', b'"19"']
    assert [step.result for step in steps(t.messages, since=len(t.messages) - 2)] == [b'"19"']


def test_arguments_are_canonical() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": '{"b": 2,\n "a": [1, {"d":0,"c":1}]}'}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "1", "content": "r"}]
    assert steps(messages)[0].arguments == b'{"a":[1,{"c":1,"d":0}],"b":2}'


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", b""),
        ("{broken", b'"{broken"'),
        ({"b": 1, "a": 2}, b'{"a":2,"b":1}'),
        ("x" * MAX_ARGUMENTS_BYTES, b'"' + b"x" * MAX_ARGUMENTS_BYTES + b'"'),
        ("[" * 5_000, b'"' + b"[" * 5_000 + b'"'),
    ],
)
def test_any_arguments(written: Any, expected: bytes) -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": written}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "1", "content": "r"}]
    assert steps(messages)[0].arguments == expected


def test_the_older_form() -> None:
    call = {"name": "f", "arguments": "{}"}
    messages = [{"role": "assistant", "function_call": call}, {"role": "function", "name": "f", "content": "r"}]
    assert steps(messages) == [Step("f", b"{}", b'"r"', 0)]


def test_a_call_without_a_result_is_left_out() -> None:
    t = Transcript().call("a", "1")
    t.messages.append({"role": "assistant", "tool_calls": [{"id": "z", "function": {"name": "b", "arguments": ""}}]})
    assert [step.tool for step in steps(t.messages)] == ["", "a"]


def test_ids_may_be_used_again_in_later_turns() -> None:
    messages = []
    for number in range(3):
        call = {"id": "call_0", "function": {"name": "a", "arguments": "{}"}}
        messages += [{"role": "assistant", "tool_calls": [call]}]
        messages += [{"role": "tool", "tool_call_id": "call_0", "content": str(number)}]
    assert [step.result for step in steps(messages)] == [b'"0"', b'"1"', b'"2"']


def test_a_history_without_tools_is_not_split() -> None:
    t = Transcript().say("hello").user("and?")
    assert History.of(raw(t.messages), len(t.messages)) is None


@pytest.mark.parametrize("spaces", [True, False])
def test_the_end_of_a_long_history_is_enough(spaces: bool) -> None:
    t = Transcript("x" * TAIL_BYTES)
    for number in range(50):
        t.call("a", "y" * 10_000 + str(number), n=number)
    separators = None if spaces else (",", ":")
    written = msgspec.Raw(json.dumps(t.messages, separators=separators).encode())
    history = History.of(written, len(t.messages))
    assert history is not None
    found = history.steps(10)
    assert [step.arguments for step in found] == [b'{"n":%d}' % number for number in range(40, 50)]
    assert found[-1].turn == len(t.messages) - 2
    assert len(history.steps(1_000)) < 50


def test_a_long_history_that_is_written_otherwise_is_read_whole() -> None:
    t = Transcript("x" * TAIL_BYTES).call("a", "1")
    written = [{name: message[name] for name in reversed(message)} for message in t.messages]  # `role` comes last
    history = History.of(raw(written), len(written))
    assert history is not None
    assert [step.tool for step in history.steps(10)] == ["", "a"]
    assert history.steps(10)[-1].turn == 2


def test_the_beginning_of_a_message_may_stand_inside_of_one() -> None:
    t = Transcript("x" * TAIL_BYTES).call("a", "1").user("").call("b", "2")
    t.messages[4]["content"] = [{"role": "deep", "text": "z" * TAIL_BYTES}, {"role": "deep", "text": "z"}]
    history = History.of(raw(t.messages), len(t.messages))
    assert history is not None
    assert [step.tool for step in history.steps(10)] == ["b"]


@given(st.lists(JSON, max_size=6))
def test_nothing_raises(messages: list[Any]) -> None:
    messages.append({"role": "user", "content": "x", "tool_calls": [], "name": 1})
    assert all(isinstance(step, Step) for step in steps(messages))


@given(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "tool", "function", "system"])},
            optional={"content": JSON, "tool_calls": JSON, "function_call": JSON, "tool_call_id": JSON},
        ),
        max_size=8,
    )
)
def test_no_message_raises(messages: list[Any]) -> None:
    assert all(isinstance(step, Step) for step in steps(messages))
