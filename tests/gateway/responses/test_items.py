"""Items and lists of them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidField
from gateway.responses.items import Slice, array_of, id_of, items_of, list_object, listed, new_id, part_of, text_of
from tests.gateway.responses.world import ids, plain, raw, said

FIVE = [said(name) for name in "abcde"]


def test_a_message_is_given_what_it_lacks() -> None:
    (item,) = plain([listed(raw({"role": "user", "content": "hi", "more": 1}), "items[0]")])
    assert item.pop("id").startswith("msg_")
    parts = [{"type": "input_text", "text": "hi"}]
    assert item == {"role": "user", "content": parts, "more": 1, "type": "message", "status": "completed"}
    (item,) = plain([listed(raw({"role": "assistant", "content": "hi", "id": None}), "items[0]")])
    assert item["content"] == [{"type": "output_text", "text": "hi", "annotations": []}]
    assert item["id"].startswith("msg_")


@pytest.mark.parametrize(("kind", "prefix"), [("function_call", "fc_"), ("reasoning", "rs_"), ("unheard_of", "item_")])
def test_others_get_an_id_alone(kind: str, prefix: str) -> None:
    (item,) = plain([listed(raw({"type": kind, "x": [1]}), "items[0]")])
    assert item.pop("id").startswith(prefix)
    assert item == {"type": kind, "x": [1]}


def test_what_lacks_nothing_stays_as_it_is() -> None:
    item = msgspec.Raw(b'{ "id":"a","type":"message","role":"user","status":"completed","content":[] }')
    assert bytes(listed(item, "items[0]")) == bytes(item)


@pytest.mark.parametrize("item", [5, "text", [], {}, {"content": "x"}])
def test_what_is_no_item_is_named(item: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        listed(raw(item), "items[3]")
    assert refused.value.param == "items[3]"


def test_ids_are_not_guessed() -> None:
    assert len({new_id("resp") for _ in range(100)}) == 100
    assert len(new_id("resp")) == 53


def test_texts_and_ids_of_what_is_none() -> None:
    assert text_of(None) == text_of(raw(5)) == text_of(raw(None)) == id_of(raw(5)) == id_of(raw({"id": 5})) == ""
    assert text_of(raw("é")) == "é"
    assert items_of(b"{") == items_of(b"{}") == []


@given(st.lists(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=4), max_size=5))
def test_an_array_of_items_is_those_items(values: list[Any]) -> None:
    items = [raw(value) for value in values]
    assert [bytes(item) for item in items_of(array_of(items))] == [bytes(item) for item in items]


@pytest.mark.parametrize(
    ("wanted", "names", "more"),
    [
        (Slice(), "edcba", False),
        (Slice(2), "ed", True),
        (Slice(5, ascending=True), "abcde", False),
        (Slice(2, ascending=True, after="msg_in_b"), "cd", True),
        (Slice(2, after="msg_in_b"), "a", False),
        (Slice(9, ascending=True, after="msg_in_a", before="msg_in_d"), "bc", False),
        (Slice(9, after="msg_in_a"), "", False),
    ],
)
def test_parts_of_a_list(wanted: Slice, names: str, more: bool) -> None:
    found, is_more = part_of(FIVE, wanted)
    assert (ids(found), is_more) == ([f"msg_in_{name}" for name in names], more)


@given(st.integers(1, 6), st.booleans())
def test_pages_one_after_the_other_are_the_whole_list(limit: int, ascending: bool) -> None:
    found: list[str] = []
    more = True
    while more:
        items, more = part_of(FIVE, Slice(limit, ascending, found[-1] if found else None))
        found += ids(items)
    assert found == (ids(FIVE) if ascending else ids(FIVE)[::-1])


@pytest.mark.parametrize(("wanted", "field"), [(Slice(after="x"), "after"), (Slice(before="x"), "before")])
def test_an_item_that_is_not_there(wanted: Slice, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        part_of(FIVE, wanted)
    assert refused.value.param == field


def test_a_page_names_its_ends() -> None:
    page = json.loads(msgspec.json.encode(list_object(FIVE[:2], more=True)))
    assert page == {
        "object": "list",
        "data": plain(FIVE[:2]),
        "first_id": "msg_in_a",
        "last_id": "msg_in_b",
        "has_more": True,
    }
    empty: dict[str, Any] = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert list_object([], more=False) == empty
