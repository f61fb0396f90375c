"""What is learned of models: by words and weak labels, in memory and across restarts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from gateway.journal.database import Database
from gateway.journal.sessions import reading, writing
from gateway.journal.tables import learned
from gateway.learned import quality as module
from gateway.learned.learned import Learned
from gateway.learned.quality import KIND, MEMORY, Heard, LearnedQuality, pack, unpack
from routing.money import Usage
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
    often, once = (LearnedQuality(None) for _ in range(2))  # type: ignore[arg-type]  # nothing is saved
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


async def test_a_restart_forgets_nothing(database: Database) -> None:
    before = LearnedQuality(database.engine)
    for number in range(30):
        before.hear(heard(number % 2, request_id=str(number)))
    await before.close()
    after = LearnedQuality(database.engine)
    await after.load()
    assert sums(after) == sums(before)
    after.hear(heard(1.0))
    await after.save()
    third = LearnedQuality(database.engine)
    await third.load()
    assert third.quality.outcomes("a", "m") == 31


async def test_the_other_things_that_are_learned_stay(database: Database) -> None:
    lengths, quality = Learned(database.engine), LearnedQuality(database.engine)
    quality.hear(heard(1.0))
    lengths.observe("a", "m", 10, Usage(10, 10), truncated=False)
    for _ in range(2):
        await quality.save()
        await lengths.save()
        lengths.observe("a", "m", 10, Usage(10, 10), truncated=False)
        quality.hear(heard(0.0, request_id="s"))
    async with reading(database.engine) as connection:
        kinds = (await connection.execute(select(learned.c.kind).order_by(learned.c.kind))).scalars().all()
    assert [kind for kind in kinds if kind == KIND] == [KIND]
    assert len(kinds) > 2
    again = Learned(database.engine)
    await again.load()  # which passes over what is not its own


async def test_what_cannot_be_read_is_learned_again(database: Database) -> None:
    async with writing(database.engine) as connection:
        row = {"kind": KIND, "agent": "a", "model": "m", "state": b"?", "updated_at_us": 1}
        await connection.execute(insert(learned), [row])
    quality = LearnedQuality(database.engine)
    await quality.load()
    assert quality.quality.record("a", "m") is None


def test_labels_count_for_less_than_words() -> None:
    quality = LearnedQuality(None)  # type: ignore[arg-type]  # nothing is saved
    quality.label("a", "m", "r", "form", 1.0)
    quality.label("a", "m", "r", "retry", 0.0)
    assert quality.quality.outcomes("a", "m") == pytest.approx(0.3)
    assert sums(quality)[1] == pytest.approx(0.2)


def test_old_outcomes_fade() -> None:
    quality = LearnedQuality(None)  # type: ignore[arg-type]  # nothing is saved
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
    quality = LearnedQuality(None)  # type: ignore[arg-type]  # nothing is saved
    for agent in ("a", "b", "a", "c"):
        quality.hear(Heard(agent, "m", agent, 1.0, None))
    assert [quality.quality.outcomes(agent, "m") for agent in "abc"] == [2, 0, 1]


def test_a_request_that_is_not_remembered_is_a_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 1)
    quality = LearnedQuality(None)  # type: ignore[arg-type]  # nothing is saved
    quality.remember("first", [1.0] * SIGNALS)
    quality.hear(heard(1.0, request_id="first"))
    quality.remember("second", [3.0] * SIGNALS)
    quality.hear(heard(1.0, request_id="first"))  # forgotten by now
    record = quality.quality.record("a", "m")
    assert record is not None
    assert list(record.usual) == [1.0] * SIGNALS
