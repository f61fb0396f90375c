from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.complexity_input import complexity_input, read_messages
from routing.complexity import HEAD_CHARS, TAIL_CHARS, ComplexityInput


def read(messages: object, *, ascii_only: bool = True) -> ComplexityInput:
    return complexity_input(read_messages(msgspec.Raw(json.dumps(messages, ensure_ascii=ascii_only).encode())))


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def test_the_last_user_message_is_what_counts() -> None:
    found = read(
        [{"role": "system", "content": "Be kind."}, user("first"), {"role": "assistant", "content": "a"}, user("last")]
    )
    assert (found.text_head, found.text_tail, found.text_bytes) == ("last", "", 4)
    assert (found.turns, found.system_bytes) == (2, 10)


def test_a_tool_loop_still_has_its_question() -> None:
    messages = [user("What is the weather?"), {"role": "assistant", "content": None}, {"role": "tool", "content": "12"}]
    assert read(messages).text_head == "What is the weather?"


def test_the_longest_text_part_counts() -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "x" * 99}},
        {"type": "text", "text": "closely"},
    ]
    assert read([user(parts)]).text_head == "closely"


@given(st.text(max_size=3_000), st.booleans())
def test_short_texts_are_read_whole(text: str, ascii_only: bool) -> None:
    found = read([user(text)], ascii_only=ascii_only)
    assert found.text_head == text[:HEAD_CHARS]
    assert found.text_tail == text[HEAD_CHARS:][-TAIL_CHARS:]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), st.booleans())
def test_of_long_texts_the_ends_are_read(piece: str, ascii_only: bool) -> None:
    text = f"{piece} " * (40_000 // len(piece))
    found = read([user(text)], ascii_only=ascii_only)
    assert len(found.text_head) >= HEAD_CHARS - 50
    assert text.startswith(found.text_head)
    assert text.endswith(found.text_tail)
    assert len(found.text_head) <= HEAD_CHARS
    assert len(found.text_tail) <= TAIL_CHARS


@given(st.text('\\"\n\u00e9\U0001f600x', min_size=1, max_size=30), st.booleans())
def test_long_texts_without_a_space_do_no_harm(piece: str, ascii_only: bool) -> None:
    found = read([user(piece * (40_000 // len(piece)))], ascii_only=ascii_only)
    assert len(found.text_head) <= HEAD_CHARS
    assert len(found.text_tail) <= TAIL_CHARS


@pytest.mark.parametrize("content", [None, 7, {}, [], [{"type": "image_url"}], [1], "", [{"type": "text", "text": 5}]])
def test_other_shapes_count_as_empty(content: object) -> None:
    assert read([user(content)]).text_head == ""


@pytest.mark.parametrize("messages", [b"", b"{}", b"null", b"[1]", b'[{"role": 5}]', b'"x"', b"[" * 10_000])
def test_other_messages_count_as_none(messages: bytes) -> None:
    assert complexity_input(read_messages(msgspec.Raw(messages))) == ComplexityInput("")


def test_counts_are_passed_on() -> None:
    found = complexity_input((), tools=3, tools_bytes=900, max_output_tokens=50)
    assert (found.tools, found.tools_bytes, found.max_output_tokens, found.turns) == (3, 900, 50, 1)
