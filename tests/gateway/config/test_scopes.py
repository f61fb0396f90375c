from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.scopes import parse_scope
from gateway.ledger.scopes import Labels, Scope

ids = st.text("abcXYZ019._:-", min_size=1, max_size=20)
values = st.just("*") | ids
scopes = st.one_of(
    st.just(Scope("global")),
    st.builds(Scope, st.sampled_from(["org", "team", "agent", "user", "provider"]), values, st.just("")),
    st.builds(Scope, st.just("model"), st.sampled_from(["*", "openai/gpt-4.1", "gpt-oss:120b", "@cf/x"]), st.just("")),
    st.builds(Scope, st.just("run"), st.just("*") | st.builds("{}/{}".format, ids, ids), st.just("")),
    st.builds(Scope, st.just("tag"), st.just("*") | st.sampled_from(["a=b", "Größe", "a b", "x*y"]), ids),
)


@given(scope=scopes)
def test_a_scope_is_read_as_it_is_shown(scope: Scope) -> None:
    assert parse_scope(str(scope)) == scope


@given(text=st.text(max_size=40) | st.from_regex(r"[a-z]{3,8}:[^|]{0,20}"))
def test_any_text_is_a_scope_or_a_value_error(text: str) -> None:
    try:
        scope = parse_scope(text)
    except ValueError:
        return
    assert str(scope) == text
    assert "|" not in scope.value + scope.tag
    # The ledger can use it.
    scope.values(Labels("o", "t", "a", "m", "p", ("a/r",), "u", (("t", "v"),)))


@pytest.mark.parametrize("text", ["team", "team:a|b", "team:a b", "user:" + "x" * 129, "model:a b", "tag:=b", "tag:a="])
def test_what_is_no_scope(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_scope(text)
