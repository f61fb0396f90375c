"""What is expected starts high and comes down with evidence; a new agent begins where its model is."""

from __future__ import annotations

from gateway.learned.expectations import KNOWN, START, Expectations
from routing.money import Usage


def learn(known: Expectations, agent: str, tokens: int, times: int = 1, *, truncated: bool = False) -> None:
    for _ in range(times):
        known.observe(agent, "m", 1_000, Usage(250, tokens), truncated=truncated)


def test_nothing_known() -> None:
    assert Expectations().expect("a", "m") == START == (2_048, 1.0)


def test_it_comes_down_with_evidence() -> None:
    known = Expectations()
    seen = []
    for _ in range(60):
        learn(known, "a", 100)
        seen.append(known.expect("a", "m"))
    assert seen[0].output_tokens >= 2_048
    assert seen[0].tokens_per_byte == 1.0
    assert 100 <= seen[-1].output_tokens <= 120
    assert 0.25 <= seen[-1].tokens_per_byte <= 0.27


def test_agents_are_apart() -> None:
    known = Expectations()
    learn(known, "short", 100, 30)
    learn(known, "long", 5_000, 30)
    assert known.expect("short", "m").output_tokens < 150
    assert known.expect("long", "m").output_tokens > 4_900
    assert known.expect("short", "other") == START


def test_a_new_agent_begins_with_its_models_longest_answers() -> None:
    known = Expectations()
    learn(known, "a", 100, KNOWN - 1)
    assert known.expect("b", "m") == START
    learn(known, "a", 300, 60)
    assert 300 <= known.expect("b", "m").output_tokens < 360
    learn(known, "b", 50)
    assert 300 <= known.expect("b", "m").output_tokens < 400, "one short answer proves nothing"
    learn(known, "b", 50, 40)
    assert known.expect("b", "m").output_tokens < 70


def test_a_model_with_long_answers_makes_new_agents_expensive() -> None:
    known = Expectations()
    learn(known, "a", 9_000, 60)
    assert known.expect("b", "m").output_tokens > 8_900


def test_cut_answers_are_lower_bounds() -> None:
    known = Expectations()
    learn(known, "a", 1_000, 40)
    learn(known, "a", 64, 40, truncated=True)
    assert known.expect("a", "m").output_tokens >= 1_000


def test_several_answers_of_one_request() -> None:
    known = Expectations()
    for _ in range(40):
        known.observe("a", "m", 1_000, Usage(250, 400), truncated=False, answers=4)
    assert known.expect("a", "m").output_tokens < 120


def test_requests_with_images_teach_nothing_of_text() -> None:
    known = Expectations()
    for _ in range(80):
        known.observe("a", "m", 0, Usage(5_000, 100), truncated=False)
    assert known.expect("a", "m").tokens_per_byte == 1.0
    assert known.expect("a", "m").output_tokens < 120


def test_more_tokens_than_bytes_are_not_expected() -> None:
    known = Expectations()
    for _ in range(80):
        known.observe("a", "m", 10, Usage(5_000, 100), truncated=False)
    assert known.expect("a", "m").tokens_per_byte == 1.0


def test_pairs_are_bounded_and_the_idle_go_first() -> None:
    known = Expectations(max_pairs=3)
    learn(known, "a", 100)
    learn(known, "b", 100)
    learn(known, "a", 100)
    learn(known, "c", 100)
    assert len(known) == 3
    assert list(known.pairs()) == [("a", "m"), ("c", "m"), ("", "m")]


def test_what_changed_is_given_out_once() -> None:
    known = Expectations(max_pairs=2)
    learn(known, "a", 100)
    changed, forgotten = known.changes()
    assert sorted({pair for _, pair, _ in changed}) == [("", "m"), ("a", "m")]
    assert (len(changed), forgotten, known.changed) == (4, [], False)
    assert known.changes() == ([], [])
    learn(known, "b", 100)
    changed, forgotten = known.changes()
    assert {pair for _, pair, _ in changed} == {("", "m"), ("b", "m")}
    assert forgotten == [("a", "m")]
    known.unsaved(changed, forgotten)
    assert known.changed
    assert known.changes() == (changed, forgotten)


def test_what_was_saved_is_known_again() -> None:
    known = Expectations()
    learn(known, "a", 100, 43)
    learn(known, "b", 700, 43)
    changed, _ = known.changes()
    again = Expectations()
    again.restore([*changed, ("another kind", ("a", "m"), b""), ("output_tokens", ("x", "m"), b"\xff")])
    for _ in range(2):
        for agent in ("a", "b", "new"):
            assert again.expect(agent, "m") == known.expect(agent, "m")
        learn(known, "a", 50)
        learn(again, "a", 50)
    assert not again.changes()[1]
