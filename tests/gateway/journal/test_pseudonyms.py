from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.pseudonyms import LEAST, Pseudonyms

NEW = "forgotten-0123456789abcdef"
ids = st.text(st.sampled_from('ab1.@:"\\ü-'), min_size=LEAST, max_size=12)
around = st.text(st.sampled_from(" .,:/-_>"), max_size=3)
words = st.text(st.sampled_from("xyz "), max_size=4)


@given(user=ids, before=words, left=around, right=around, after=words)
def test_the_id_is_found_as_a_word_of_any_text(user: str, before: str, left: str, right: str, after: str) -> None:
    names = Pseudonyms((user,), NEW)
    left, right = left or " ", right or " "
    assert names.word(f"{before}{left}{user}{right}{after}") == f"{before}{left}{NEW}{right}{after}"
    assert names.word(f"x{user}") == f"x{user}" or not user[0].isascii() or not user[0].isalnum()
    tags = json.dumps({"who": user, "where": f"at {user}", "n": before})
    found = json.loads(names.tags(tags, own=False))
    assert found == {"who": NEW, "where": f"at {NEW}", "n": before}
    assert any(word in tags for word in names.words)
    assert json.loads(names.json(json.dumps([1, [user, {"x": f"b|{user}|y"}], None]))) == [
        1,
        [NEW, {"x": f"b|{NEW}|y"}],
        None,
    ]


@pytest.mark.parametrize(("text", "becomes"), [("7", NEW), ("17", "17"), ("a 7", "a 7"), ("", "")])
def test_a_short_id_is_only_itself(text: str, becomes: str) -> None:
    assert Pseudonyms(("7",), NEW).text(text) == becomes


def test_tags_of_others_keep_a_short_id() -> None:
    names = Pseudonyms(("7",), NEW)
    assert names.tags('{"n":"7"}', own=False) == '{"n":"7"}'
    assert names.tags('{"n":"7","m":"17"}', own=True) == f'{{"n":"{NEW}","m":"17"}}'


def test_a_run_keeps_its_agent() -> None:
    names = Pseudonyms(("researcher",), NEW)
    assert names.run("researcher/researcher-1") == f"researcher/{NEW}-1"
    names.runs["writer/a"] = "writer/b"
    assert names.path("writer/a>writer/a2>writer/c", ()) == "writer/b>writer/a2>writer/c"
    assert names.path("writer/a>writer/c", {"writer/a"}) == "writer/a>writer/c"
