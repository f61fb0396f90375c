from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects.events import EventTranslation

EVENTS = b': hello\n\ndata: {"a": 1}\n\ndata: x\r\ndata: y\n\ndata: [DONE]\n\ndata: unfinished\n\n'
STREAM = b': hello\n\ndata: {"a": 1}\r\n\r\ndata: x\r\ndata: y\r\n\r\n\r\ndata: [DONE]\n\ndata: unfinished'


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_nothing_but_blank_lines_is_changed_however_it_is_cut(cuts: list[int]) -> None:
    made, places = EventTranslation(), sorted({0, len(STREAM), *cuts})

    out = b"".join([made.chunk(STREAM[a:b]) for a, b in pairwise(places)]) + made.end()

    assert out == EVENTS


def test_whole_answers_and_errors_stay() -> None:
    assert EventTranslation().whole(b"{}") == b"{}"
    assert EventTranslation().error(400, b"{}") == b"{}"
    assert EventTranslation().end() == b""
