"""CONTRACTS of docs/attribution.md, row by row: sources, precedence, forms, trust, and what is kept from providers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidHeader
from gateway.identity.attribution import MAX_TAGS, Attribution, Headers, adapt_id, attribute
from gateway.identity.headers import FORWARD, role_of

TRUSTED = frozenset({"value", "priority", "complexity"})
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def read(headers: dict[str, str] | None = None, trust: frozenset[str] = TRUSTED, **body: Any) -> Attribution:
    pairs = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return attribute(pairs, msgspec.json.decode(json.dumps(body).encode(), type=dict[str, msgspec.Raw]), trust)[0]


def refused(name: str, value: str) -> InvalidHeader:
    with pytest.raises(InvalidHeader) as caught:
        read({name: value})
    error = caught.value
    assert error.param == name
    assert f"`{name}`" in error.message
    assert error.status == 400
    return error


def test_nothing_said() -> None:
    assert read() == Attribution()


# --- 1: our own headers ---


def test_our_headers() -> None:
    assert read(
        {
            "X-Farebox-Run": "run-1",
            "X-Farebox-Parent-Run": "run-0",
            "X-Farebox-Step": "12",
            "X-Farebox-Session": "s:1",
            "X-Farebox-User": "u_1",
            "X-Farebox-Tags": "feature=search, plan = pro ,empty=",
            "X-Farebox-Value-Usd": "12.50",
            "X-Farebox-Priority": "high",
            "X-Farebox-Complexity": "0.25",
        }
    ) == Attribution(
        run="run-1",
        parent_run="run-0",
        step="12",
        session="s:1",
        user="u_1",
        tags=(("feature", "search"), ("plan", "pro"), ("empty", "")),
        value_nano_usd=12_500_000_000,  # type: ignore[arg-type]
        priority="high",
        complexity=0.25,
    )


_ID_HEADERS = ("x-farebox-run", "x-farebox-parent-run", "x-farebox-step", "x-farebox-session", "x-farebox-user")


@pytest.mark.parametrize("name", _ID_HEADERS)
@pytest.mark.parametrize("value", ["", " ", "a b", "a@b", "a/b", "é", "x" * 129, "a\tb", "a,b"])
def test_our_ids_have_one_form(name: str, value: str) -> None:
    if (name, value) == ("x-farebox-parent-run", "a/b"):
        value = "a/b/c"  # a parent may be named with its agent
    refused(name, value)


@pytest.mark.parametrize("name", _ID_HEADERS)
def test_the_longest_id(name: str) -> None:
    read({name: "x" * 128})


@pytest.mark.parametrize(
    "value",
    [
        "word",
        "a b=c",
        "=x",
        "a=" + "x" * 257,
        "a=\x07",
        "a\xff=1",
        ",".join(f"t{number}=1" for number in range(MAX_TAGS + 1)),
    ],
)
def test_our_tags_have_one_form(value: str) -> None:
    refused("x-farebox-tags", value)


@pytest.mark.parametrize("value", ["", ",", "a=1,", "a=b=c", "ü=1".replace("ü", "u"), "a=ü"])
def test_tags_that_are_fine(value: str) -> None:
    read({"x-farebox-tags": value})


def test_a_tag_named_twice_keeps_its_first_value() -> None:
    assert read({"x-farebox-tags": "a=1,a=2"}).tags == (("a", "1"),)


@pytest.mark.parametrize("value", ["", "much", "-1", "1e3", "NaN", "inf", "1.0000000001", "1" * 500, "1000000001"])
def test_values_are_plain_amounts(value: str) -> None:
    refused("x-farebox-value-usd", value)


@pytest.mark.parametrize(("value", "nano"), [("0", 0), ("1000000000", 10**18), ("0.000000001", 1)])
def test_the_least_and_the_greatest_value(value: str, nano: int) -> None:
    assert read({"x-farebox-value-usd": value}).value_nano_usd == nano


@pytest.mark.parametrize("value", ["", "HIGH", "urgent"])
def test_priorities_are_three(value: str) -> None:
    refused("x-farebox-priority", value)


@pytest.mark.parametrize("value", ["", "nan", "-0.1", "1.01", "inf", "hard"])
def test_complexity_is_a_share(value: str) -> None:
    refused("x-farebox-complexity", value)


@pytest.mark.parametrize("trusted", ["value", "priority", "complexity"])
def test_only_trusted_claims_count(trusted: str) -> None:
    claims = {"x-farebox-value-usd": "5", "x-farebox-priority": "low", "x-farebox-complexity": "1"}
    found = read(claims, trust=frozenset({trusted}))
    kept = {"value": found.value_nano_usd, "priority": found.priority, "complexity": found.complexity}
    assert {name for name, value in kept.items() if value is not None} == {trusted}


def test_untrusted_claims_must_have_their_form_all_the_same() -> None:
    with pytest.raises(InvalidHeader):
        read({"x-farebox-priority": "urgent"}, trust=frozenset())


# --- 2: other gateways' headers ---


@pytest.mark.parametrize(
    ("headers", "label", "value"),
    [
        ({"x-litellm-trace-id": "t1"}, "run", "t1"),
        ({"x-litellm-session-id": "s1"}, "session", "s1"),
        ({"x-litellm-end-user-id": "u1"}, "user", "u1"),
        ({"x-litellm-tags": "beta, prod"}, "tags", (("beta", "true"), ("prod", "true"))),
        ({"x-litellm-tags": "team=a,two words"}, "tags", (("team", "a"), (adapt_id("two words"), "true"))),
        ({"x-portkey-trace-id": "t2"}, "run", "t2"),
        ({"x-portkey-metadata": '{"_user":"u2","env":"prod"}'}, "user", "u2"),
        ({"x-portkey-metadata": '{"_user":"u2","env":"prod"}'}, "tags", (("env", "prod"),)),
        ({"Helicone-Session-Id": "s3"}, "session", "s3"),
        ({"Helicone-Session-Path": "/plan/search"}, "tags", (("session_path", "/plan/search"),)),
        ({"Helicone-User-Id": "u3"}, "user", "u3"),
        ({"Helicone-Property-App": "mobile"}, "tags", (("app", "mobile"),)),
        ({"cf-aig-metadata": '{"team":"ml","paid":true,"seats":3,"rate":0.5}'}, "tags", None),
    ],
)
def test_other_gateways_headers(headers: dict[str, str], label: str, value: Any) -> None:
    if value is None:
        value = (("team", "ml"), ("paid", "true"), ("seats", "3"), ("rate", "0.5"))
    assert getattr(read(headers), label) == value


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a":{"b":1},"c":null,"d":[],"e":""}', "[" * 10_000])
def test_odd_metadata_of_others_is_ignored(text: str) -> None:
    assert read({"x-portkey-metadata": text, "cf-aig-metadata": text}) == Attribution()


def test_foreign_tag_values_are_cut_and_made_printable() -> None:
    tags = dict(read({"cf-aig-metadata": json.dumps({"long": "x" * 1000, "odd": "a\x00b\nc"})}).tags)
    assert tags == {"long": "x" * 256, "odd": "a b c"}


# --- 3: session conventions ---


@pytest.mark.parametrize(
    "name", ["x-claude-code-session-id", "x-my-app-session-id", "x-session-id", "session-id", "session_id", "thread-id"]
)
def test_session_conventions(name: str) -> None:
    assert read({name: "abc"}).session == "abc"


def test_claude_codes_json() -> None:
    ids = {"device_id": "d" * 64, "account_uuid": "acc-1", "session_id": "sess-1"}
    found = read(metadata={"user_id": json.dumps(ids)})
    assert (found.session, found.user) == ("sess-1", "acc-1")
    ids["account_uuid"] = ""
    assert read(metadata={"user_id": json.dumps(ids)}).user == "d" * 64


@pytest.mark.parametrize("text", ["{}", '{"session_id":5,"account_uuid":[]}'])
def test_claude_codes_json_without_ids(text: str) -> None:
    assert read(metadata={"user_id": text}) == Attribution()


def test_a_user_that_only_looks_like_json() -> None:
    assert read(metadata={"user_id": "{me}"}).user == adapt_id("{me}")


# --- 4: the body ---


@pytest.mark.parametrize(
    ("body", "label", "value"),
    [
        ({"user": "u"}, "user", "u"),
        ({"safety_identifier": "u"}, "user", "u"),
        ({"prompt_cache_key": "k"}, "session", "k"),
        ({"session_id": "s"}, "session", "s"),
        ({"metadata": {"run_id": "r"}}, "run", "r"),
        ({"metadata": {"trace_id": "r"}}, "run", "r"),
        ({"metadata": {"session": "s"}}, "session", "s"),
        ({"metadata": {"conversation_id": "s"}}, "session", "s"),
        ({"metadata": {"user_id": 7}}, "user", "7"),
        ({"metadata": {"feature": "search", "beta": True, "n": 1}}, "tags", None),
        ({"user": "someone@example.com"}, "user", adapt_id("someone@example.com")),
    ],
)
def test_the_body(body: dict[str, Any], label: str, value: Any) -> None:
    if value is None:
        value = (("feature", "search"), ("beta", "true"), ("n", "1"))
    assert getattr(read(**body), label) == value


@pytest.mark.parametrize("value", [None, "", 5, [], {"a": 1}])
def test_odd_fields_are_ignored(value: Any) -> None:
    assert read(user=value, session_id=value, prompt_cache_key=value, safety_identifier=value) == Attribution()


@pytest.mark.parametrize("value", [None, "x", 5, [], {}])
def test_odd_metadata_is_ignored(value: Any) -> None:
    assert read(metadata=value) == Attribution()


# --- 5 and 6: W3C, User-Agent ---


def test_traceparent() -> None:
    assert read({"traceparent": TRACEPARENT}).run == TRACE


@pytest.mark.parametrize(
    "value", ["", "x", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"ff-{TRACE}-00f067aa0ba902b7-01", TRACEPARENT.upper()]
)
def test_invalid_traceparents_are_ignored(value: str) -> None:
    assert read({"traceparent": value}) == Attribution()


def test_baggage() -> None:
    found = read(
        {"baggage": "a=b, gen_ai.conversation.id = c-1 ;p=1,gen_ai.agent.id=a1,gen_ai.agent.name=The%20Agent,,=,x"}
    )
    assert found.session == "c-1"
    assert found.tags == (("agent_id", "a1"), ("agent_name", "The Agent"))


@pytest.mark.parametrize(
    ("agent", "sdk"),
    [
        ("OpenAI/Python 3.52.0", "OpenAI/Python"),
        ("openai-node/6.1 (linux)", "openai-node/6.1"),
        ("", None),
        ("(odd)", None),
    ],
)
def test_user_agent(agent: str, sdk: str | None) -> None:
    assert read({"user-agent": agent}).sdk == sdk


# --- precedence ---

_RUNS = [
    ({"x-farebox-run": "one"}, {}),
    ({"x-litellm-trace-id": "two"}, {}),
    ({}, {"metadata": {"run": "four"}}),
    ({"traceparent": TRACEPARENT}, {}),
]
_SESSIONS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"x-farebox-session": "one"}, {}),
    ({"helicone-session-id": "two"}, {}),
    ({"x-app-session-id": "three"}, {}),
    ({}, {"session_id": "four"}),
    ({"baggage": "gen_ai.conversation.id=five"}, {}),
]
_USERS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"x-farebox-user": "one"}, {}),
    ({"x-litellm-end-user-id": "two"}, {}),
    ({}, {"user": "four"}),
]


@pytest.mark.parametrize(("label", "sources"), [("run", _RUNS), ("session", _SESSIONS), ("user", _USERS)])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_first_source_wins(
    label: str, sources: list[tuple[dict[str, str], dict[str, Any]]], backwards: bool
) -> None:
    for first in range(len(sources)):
        expected = getattr(read(sources[first][0], **sources[first][1]), label)
        assert expected is not None
        present = sources[first:][::-1] if backwards else sources[first:]
        headers: dict[str, str] = {}
        body: dict[str, Any] = {}
        for more_headers, more_body in present:
            headers |= more_headers
            body |= more_body
        assert getattr(read(headers, **body), label) == expected


def test_claude_codes_session_stands_above_the_body() -> None:
    metadata = {"user_id": json.dumps({"session_id": "three"})}
    assert read(session_id="four", metadata=metadata).session == "three"
    assert read({"x-litellm-session-id": "two"}, metadata=metadata).session == "two"


def test_tags_of_all_sources_come_together_name_by_name() -> None:
    found = read(
        {"x-litellm-tags": "a=2,b=2", "x-farebox-tags": "a=1", "baggage": "gen_ai.agent.id=5"},
        metadata={"b": "4", "c": "4"},
    )
    assert dict(found.tags) == {"a": "1", "b": "2", "c": "4", "agent_id": "5"}


@pytest.mark.parametrize("foreign_first", [False, True])
def test_when_there_are_too_many_tags_ours_stay(foreign_first: bool) -> None:
    ours = ("x-farebox-tags", ",".join(f"mine{number}=1" for number in range(MAX_TAGS)))
    foreign = ("x-litellm-tags", ",".join(f"other{number}" for number in range(MAX_TAGS + 5)))
    found = read(
        dict([foreign, ours] if foreign_first else [ours, foreign]), metadata={f"m{n}": "1" for n in range(300)}
    )
    assert {name for name, _ in found.tags} == {f"mine{number}" for number in range(MAX_TAGS)}


def test_a_repeated_header_counts_once() -> None:
    headers = [(b"x-farebox-run", b"first"), (b"x-farebox-run", b"second")]
    assert attribute(headers, {}, TRUSTED)[0].run == "first"


# --- adapting ---


@given(st.text(min_size=1))
def test_adapted_ids_have_our_form_and_are_stable(text: str) -> None:
    adapted = adapt_id(text)
    assert adapt_id(text) == adapted
    assert adapt_id(adapted) == adapted
    assert read({"x-farebox-user": adapted}).user == adapted


def test_different_ids_stay_different() -> None:
    assert adapt_id("a@example.com") != adapt_id("b@example.com")
    assert adapt_id("a@example.com").startswith("h:")


# --- what goes on ---

_NAMES = st.sampled_from(
    [
        *("x-farebox-run", "x-farebox-tags", "x-litellm-tags", "x-portkey-metadata", "helicone-property-a", "baggage"),
        *(
            "traceparent",
            "user-agent",
            "x-a-session-id",
            "authorization",
            "cookie",
            "x-custom",
            "anthropic-beta",
            "accept",
        ),
        *("x-farebox-value-usd", "x-farebox-complexity", "x-farebox-priority", "x-farebox-anything", "cf-aig-metadata"),
    ]
).map(str.encode) | st.binary(max_size=20).map(bytes.lower)


@given(st.lists(st.tuples(_NAMES, st.binary(max_size=40)), max_size=8), st.binary(max_size=40))
def test_any_bytes_are_read_or_refused_and_labels_stay_here(headers: Headers, junk: bytes) -> None:
    body = {"metadata": msgspec.Raw(junk), "user": msgspec.Raw(b'"' + junk), "session_id": msgspec.Raw(b"")}
    try:
        _, forwarded = attribute(headers, body, TRUSTED)
    except InvalidHeader as error:
        assert str(error.param).startswith("x-farebox-")  # noqa: PT017 -- both outcomes are right
        return
    assert forwarded == [header for header in headers if role_of(header[0]).kind == FORWARD]
    for name, _ in forwarded:
        assert not name.startswith((b"x-farebox", b"x-litellm", b"x-portkey", b"helicone", b"authorization", b"cookie"))
        assert not name.endswith(b"-session-id")


@given(
    st.dictionaries(
        st.sampled_from(["user_id", "run", "a", "\x00", ""]) | st.text(max_size=5),
        st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3),
    )
)
def test_any_metadata_gives_labels_in_our_form(metadata: dict[str, Any]) -> None:
    text = json.dumps(metadata)
    found = attribute([(b"cf-aig-metadata", text.encode())], {"metadata": msgspec.Raw(text.encode())}, TRUSTED)[0]
    for name, value in found.tags:
        assert adapt_id(name) == name
        assert value.isprintable()
        assert len(value) <= 256
    assert len(found.tags) <= MAX_TAGS
