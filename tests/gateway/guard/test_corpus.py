"""How well loops are told from work that only repeats itself, at the default settings."""

from __future__ import annotations

import pytest

from gateway.guard.loops import Finding, find_loop
from gateway.guard.settings import DEFAULT_LOOPS
from tests.gateway.guard.corpus.honest import HONEST
from tests.gateway.guard.corpus.looping import LOOPING, MISSED
from tests.gateway.guard.corpus.transcript import Message, Transcript, raw


def judge(messages: list[Message]) -> Finding | None:
    return find_loop(raw(messages), len(messages), DEFAULT_LOOPS)


def first_finding(transcript: Transcript) -> Finding | None:
    return next(filter(None, map(judge, transcript.requests())), None)


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_agent_is_left_alone(name: str) -> None:
    assert first_finding(HONEST[name]()) is None


@pytest.mark.parametrize("name", sorted(LOOPING.keys() - MISSED))
def test_a_stuck_agent_is_found(name: str) -> None:
    assert first_finding(LOOPING[name]()) is not None


def test_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    false = [name for name, case in HONEST.items() if first_finding(case()) is not None]
    missed = {name for name, case in LOOPING.items() if first_finding(case()) is None}
    requests = sum(len(list(case().requests())) for case in HONEST.values())
    with capsys.disabled():
        print(
            f"\nloops: {len(false)} false positives in {len(HONEST)} honest histories ({requests} requests), "
            f"{len(missed)} of {len(LOOPING)} loops missed"
        )
    assert (len(HONEST), len(LOOPING)) >= (60, 40)
    assert false == []
    assert missed == MISSED
    assert len(missed) == 5
