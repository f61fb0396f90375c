"""What is learned of models: by words and weak labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.learned import quality as module
from gateway.learned.quality import KIND, MEMORY, Heard, LearnedQuality, pack, unpack
from routing.quality import SIGNALS, Record

scores = st.floats(0, 1)
signals = st.lists(st.floats(-6, 6), min_size=SIGNALS, max_size=SIGNALS)


def heard(score: float, before: float | None = None, request_id: str = "r") -> Heard:
    return Heard("a", "m", request_id, score, before)


def said(quality: LearnedQuality, words: list[float], request_id: str = "r") -> None:
    """A client's words on one answer, one after the other."""
    before = None
    for score in words:
        quality.hear(heard(score, before, request_id))
        before = score


def sums(quality: LearnedQuality) -> list[float]:
    record = quality.quality.record("a", "m")
    assert record is not None
    return [record.count, record.scores, *record.signals, *record.products, *record.cross]


@given(st.lists(scores, min_size=1, max_size=6), signals)
async def test_the_latest_word_counts_and_counts_once(words: list[float], of_request: list[float]) -> None:
    often, once = (LearnedQuality() for _ in range(2))
    for quality in (often, once):
        quality.remember("r", of_request)
    said(often, [*words, words[-1]])
    said(once, words[-1:])
    assert sums(often) == pytest.approx(sums(once), abs=1e-9)


@given(st.lists(st.tuples(scores, signals), min_size=1, max_size=20))
def test_what_is_packed_is_unpacked(outcomes: list[tuple[float, list[float]]]) -> None:
    record = Record()
    for score, of_request in outcomes:
        record.add(of_request, score)
    found = unpack(pack(record))
    assert found is not None
    assert (found.count, found.scores, found.cross) == (record.count, record.scores, record.cross)


@pytest.mark.parametrize("state", [b"", b"\x93\x01\x02\x03", b"nonsense"])
def test_other_bytes_are_not_read(state: bytes) -> None:
    assert unpack(state) is None


def test_what_was_saved_is_known_again() -> None:
    before = LearnedQuality()
    for number in range(30):
        before.hear(heard(number % 2, request_id=str(number)))
    after = LearnedQuality()
    after.restore(before.changes()[0])
    assert sums(after) == sums(before)
    assert not after.changed
    after.hear(heard(1.0))
    third = LearnedQuality()
    third.restore(after.changes()[0])
    assert third.quality.outcomes("a", "m") == 31


def test_what_cannot_be_read_is_learned_again() -> None:
    quality = LearnedQuality()
    quality.restore([(KIND, ("a", "m"), b"?")])
    assert quality.quality.record("a", "m") is None


def test_what_changed_is_given_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAIRS", 1)
    quality = LearnedQuality()
    quality.hear(heard(1.0))
    changed, forgotten = quality.changes()
    assert ([(kind, pair) for kind, pair, _ in changed], forgotten) == ([(KIND, ("a", "m"))], [])
    quality.hear(Heard("b", "m", "r", 1.0, None))
    changed, forgotten = quality.changes()
    assert ([pair for _, pair, _ in changed], forgotten) == ([("b", "m")], [("a", "m")])
    assert quality.changes() == ([], [])
    assert not quality.changed


def test_what_could_not_be_saved_is_given_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAIRS", 1)
    quality = LearnedQuality()
    for agent in ("a", "b"):
        quality.hear(Heard(agent, "m", "r", 1.0, None))
    given = quality.changes()
    quality.unsaved(*given)
    assert quality.changed
    assert quality.changes() == given
    quality.hear(Heard("a", "m", "r", 1.0, None))  # in the meantime it is learned of again
    quality.unsaved(*given)
    changed, forgotten = quality.changes()
    assert ([pair for _, pair, _ in changed], forgotten) == ([("a", "m")], [("b", "m")])


def test_labels_count_for_less_than_words() -> None:
    quality = LearnedQuality()
    quality.label("a", "m", "r", "form", 1.0)
    quality.label("a", "m", "r", "retry", 0.0)
    assert quality.quality.outcomes("a", "m") == pytest.approx(0.3)
    assert sums(quality)[1] == pytest.approx(0.2)


def test_old_outcomes_fade() -> None:
    quality = LearnedQuality()
    for number in range(int(MEMORY)):
        quality.hear(heard(0.0, request_id=str(number)))
    assert quality.quality.outcomes("a", "m") == MEMORY / 2
    for number in range(int(MEMORY) // 2):
        quality.hear(heard(1.0, request_id=f"new{number}"))
    record = quality.quality.record("a", "m")
    assert record is not None
    assert record.mean > 0.45  # and not a third: the newer ones weigh more


def test_the_pair_that_was_heard_of_longest_ago_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAIRS", 2)
    quality = LearnedQuality()
    for agent in ("a", "b", "a", "c"):
        quality.hear(Heard(agent, "m", agent, 1.0, None))
    assert [quality.quality.outcomes(agent, "m") for agent in "abc"] == [2, 0, 1]


def test_a_request_that_is_not_remembered_is_a_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 1)
    quality = LearnedQuality()
    quality.remember("first", [1.0] * SIGNALS)
    quality.hear(heard(1.0, request_id="first"))
    quality.remember("second", [3.0] * SIGNALS)
    quality.hear(heard(1.0, request_id="first"))  # forgotten by now
    record = quality.quality.record("a", "m")
    assert record is not None
    assert list(record.usual) == [1.0] * SIGNALS
