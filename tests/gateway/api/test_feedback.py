"""Bodies of `POST /v1/feedback`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.feedback import MAX_COMMENT_CHARS, read_feedback
from gateway.errors import BadRequest, InvalidField, InvalidJson
from gateway.feedback import Said


def read(body: Any) -> Said:
    return read_feedback(json.dumps(body).encode())


@given(
    st.floats(0, 1), st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
)
def test_everything(score: float, comment: str | None) -> None:
    assert read({"request_id": "req_1", "score": score, "comment": comment}) == Said("req_1", score, comment)


def test_whole_numbers_are_scores_too_and_no_database_takes_a_nul() -> None:
    assert read({"request_id": "r", "score": 1, "comment": "a\0b"}) == Said("r", 1.0, "ab")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"score": 1}, None),
        ({"request_id": "r"}, None),
        ({"request_id": "", "score": 1}, "request_id"),
        ({"request_id": "r", "score": 1.1}, "score"),
        ({"request_id": "r", "score": -0.1}, "score"),
        ({"request_id": "r", "score": True}, "score"),
        ({"request_id": "r", "score": "1"}, "score"),
        ({"request_id": "r", "score": 1, "comment": "x" * (MAX_COMMENT_CHARS + 1)}, "comment"),
        ({"request_id": "r", "score": 1, "stars": 5}, None),
        ([], None),
    ],
)
def test_what_is_wrong_is_named(body: Any, param: str | None) -> None:
    with pytest.raises(InvalidField) as refused:
        read(body)
    assert refused.value.param == param


@given(st.binary(max_size=40))
def test_other_bytes(body: bytes) -> None:
    try:
        read_feedback(body)
    except BadRequest:
        return


def test_no_json() -> None:
    with pytest.raises(InvalidJson):
        read_feedback(b"{")
