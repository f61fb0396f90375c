"""The splitter loses nothing and finds the same events however the bytes arrive."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.sse import EventSplitter, EventTooLarge, data_event, event_data

_TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=12).map(str.encode)
_FIELDS = st.sampled_from(
    [b"data: ", b"data:", b"data:  ", b"data", b"id: ", b"event: ", b": ", b":", b"database: ", b""]
)
_LINES = st.builds(lambda field, text: field + text, _FIELDS, _TEXT) | st.just(b"data: [DONE]")


@st.composite
def streams(draw: st.DrawFn, line_ends: tuple[bytes, ...]) -> bytes:
    """Comments, several data lines, ids, empty events; perhaps a last event that is not ended."""
    lines = draw(st.lists(st.just(b"") | _LINES, max_size=12))
    ends = draw(st.lists(st.sampled_from(line_ends), min_size=len(lines), max_size=len(lines)))
    unfinished = draw(st.just(b"") | _LINES)
    return b"".join(line + end for line, end in zip(lines, ends, strict=True)) + unfinished


@st.composite
def chunked(draw: st.DrawFn, line_ends: tuple[bytes, ...] = (b"\n", b"\r", b"\r\n")) -> tuple[bytes, list[bytes]]:
    stream = draw(streams(line_ends))
    cuts = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=len(stream))))
    bounds = [0, *cuts, len(stream)]
    return stream, [stream[a:b] for a, b in pairwise(bounds)]


def split(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events, splitter.rest


def reference_data(stream: bytes) -> list[bytes]:
    """The standard's algorithm, line by line: the payloads of the ended events that have one."""
    found = []
    data: list[bytes] = []
    for line in re.split(rb"\r\n|\r|\n", stream)[:-1]:
        if not line:
            if b"".join(data) or len(data) > 1:
                found.append(b"\n".join(data))
            data = []
            continue
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value[1:] if value[:1] == b" " else value)
    return found


def payloads(events: list[bytes]) -> list[bytes]:
    return [data for event in events if (data := event_data(event))]


@given(chunked())
def test_nothing_is_lost_and_nothing_added(case: tuple[bytes, list[bytes]]) -> None:
    stream, chunks = case
    events, rest = split(chunks)
    assert b"".join(events) + rest == stream


@given(chunked((b"\n",)))
def test_chunks_make_no_difference_with_lf(case: tuple[bytes, list[bytes]]) -> None:
    stream, chunks = case
    assert split(chunks) == split([stream])


@given(chunked((b"\n", b"\r\n")))
def test_chunks_make_no_difference_to_what_the_events_say(case: tuple[bytes, list[bytes]]) -> None:
    """A CRLF that is torn apart may lend its LF to the next event, which reads the same."""
    stream, chunks = case
    assert payloads(split(chunks)[0]) == payloads(split([stream])[0])


@given(streams((b"\n", b"\r\n", b"\r")))
def test_the_events_are_those_of_the_standard(stream: bytes) -> None:
    # A bare CR before a LF is read as one CRLF by everyone: the stream is joined first and split afterwards.
    assert payloads(split([stream])[0]) == reference_data(stream)


@given(chunked())
def test_every_event_ends_with_a_blank_line(case: tuple[bytes, list[bytes]]) -> None:
    events, _ = split(case[1])
    assert all(re.search(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)\Z", event) for event in events)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\n\n", b"{}"),
        (b"data:  {}\n\n", b" {}"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data: a\r\ndata: b\r\n\r\n", b"a\nb"),
        (b"id: 1\nevent: x\ndata: a\n\n", b"a"),
        (b": keep-alive\n\n", b""),
        (b"data\ndata\n\n", b"\n"),
        (b"dataset: 1\n\n", b""),
        (b"\n\n", b""),
        (b"data: no blank line", b"no blank line"),
    ],
)
def test_event_data(event: bytes, data: bytes) -> None:
    assert event_data(event) == data


@given(st.binary().filter(lambda data: b"\r" not in data))
def test_data_event_is_read_back(data: bytes) -> None:
    event = data_event(data)
    assert event_data(event) == data
    assert split([event]) == ([event], b"")


@pytest.mark.parametrize("filler", [b"x", b"\r"])
def test_an_event_without_end_is_refused(filler: bytes) -> None:
    splitter = EventSplitter(max_event_bytes=100)
    splitter.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLarge, match="100 bytes"):
        splitter.feed(b"xxxxx" + filler)


def test_large_events_that_do_end_are_fine_in_one_piece() -> None:
    splitter = EventSplitter(max_event_bytes=100)
    event = data_event(b"x" * 1000)
    assert splitter.feed(event + b"rest") == [event]
    assert splitter.rest == b"rest"
