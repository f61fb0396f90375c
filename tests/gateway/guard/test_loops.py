from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.guard.loops import PATIENCE, find_loop
from gateway.guard.settings import LoopRule
from tests.gateway.guard.corpus.transcript import Transcript, raw


def judge(transcript: Transcript, rule: LoopRule | None = None, since: int = 0) -> str | None:
    found = find_loop(raw(transcript.messages), len(transcript.messages), rule or LoopRule(), since)
    return None if found is None else f"{found.kind} {found.times}"


def repeated(times: int, result: str = "nothing") -> Transcript:
    t = Transcript()
    for _ in range(times):
        t.call("search", result, q="x")
    return t


def test_the_threshold_is_the_first_to_count() -> None:
    assert judge(repeated(2)) is None
    assert judge(repeated(3)) == "repeated_call 3"


@given(threshold=st.integers(2, 8), more=st.integers(0, 4))
def test_any_threshold(threshold: int, more: int) -> None:
    rule = LoopRule(window=10, threshold=threshold)
    assert judge(repeated(threshold - 1), rule) is None
    assert judge(repeated(threshold + more), rule) == f"repeated_call {min(10, threshold + more)}"


@given(st.integers(1, 6))
def test_calls_beyond_the_window_do_not_count(between: int) -> None:
    t = Transcript().call("find_it", "none")
    for other in range(between):
        t.call("find_it", "none", n=other)
    t.call("find_it", "none").call("find_it", "none")
    assert (judge(t, LoopRule(window=5)) is None) == (between > 2)


@given(st.lists(st.integers(0, 3), max_size=30))
def test_results_that_always_differ_are_no_loop(tools: list[int]) -> None:
    t = Transcript()
    for number, tool in enumerate(tools):
        t.call(f"tool_{tool}", {"row": number})
    assert judge(t) is None


@given(st.lists(st.sampled_from("abc"), min_size=13, max_size=30))
def test_three_calls_that_always_say_the_same_are_a_loop_in_any_order(tools: list[str]) -> None:
    """Twice one, then twice two, then twice all three: the thirteenth call at the latest is a third."""
    t = Transcript()
    found = []
    for tool in tools:
        t.call(tool, "the same")
        found.append(judge(t))
    assert any(found[:13])


def test_two_by_turns_have_a_name_of_their_own() -> None:
    t = Transcript()
    for _ in range(3):
        t.call("left", "ok").call("right", "ok")
    assert judge(t) == "alternating_calls 3"


def test_what_may_change_something_begins_again() -> None:
    assert judge(repeated(2).call("edit_file", "ok", path="a").call("search", "nothing", q="x")) is None


def test_what_only_looks_does_not() -> None:
    assert judge(repeated(2).call("read_file", "text", path="a").call("search", "nothing", q="x")) == "repeated_call 3"


def test_new_words_of_the_user_begin_again() -> None:
    assert judge(repeated(2).user("Try the other index.").call("search", "nothing", q="x")) is None


def test_calls_side_by_side_count_once() -> None:
    one = ("search", {"q": "x"}, "nothing")
    assert judge(Transcript().together(one, one, one, one)) is None
    assert judge(Transcript().together(one, one).together(one, one).together(one)) == "repeated_call 3"


def test_waiting_is_borne_longer() -> None:
    assert judge(repeated(3 * PATIENCE - 1, "still pending")) is None
    assert judge(repeated(3 * PATIENCE, "still pending")) == f"repeated_call {3 * PATIENCE}"


def test_what_was_forgiven_is_not_found_again() -> None:
    t = repeated(5)
    forgiven = len(t.messages)
    assert judge(t, since=forgiven) is None
    assert judge(t.call("search", "nothing", q="x").call("search", "nothing", q="x"), since=forgiven) is None
    assert judge(t.call("search", "nothing", q="x"), since=forgiven) == "repeated_call 3"


def test_the_detail_names_the_tool_and_keeps_its_arguments_to_itself() -> None:
    t = Transcript()
    for _ in range(3):
        t.call("search", "secret result", q="secret words")
    found = find_loop(raw(t.messages), len(t.messages), LoopRule())
    assert found is not None
    assert "`search`" in found.detail
    assert "secret" not in found.detail
