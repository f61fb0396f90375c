from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects.events import EventTranslation

STREAM = b': hello\n\ndata: {"a": 1}\r\n\r\ndata: x\ndata: y\n\n\rdata: [DONE]\n\ndata: unfinished'


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_nothing_is_changed_however_it_is_cut(cuts: list[int]) -> None:
    made, places = EventTranslation(), sorted({0, len(STREAM), *cuts})

    out = b"".join([made.chunk(STREAM[a:b]) for a, b in pairwise(places)]) + made.end()

    assert out == STREAM


def test_whole_answers_and_errors_stay() -> None:
    assert EventTranslation().whole(b"{}") == b"{}"
    assert EventTranslation().error(400, b"{}") == b"{}"
    assert EventTranslation().end() == b""
