"""Requests are read just enough, refused with a field's name, and written back with nothing else changed."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import FareboxError, InvalidField, InvalidJson, MissingField
from gateway.wire.requests import CHAT, COMPLETIONS, EMBEDDINGS, ModelRequest, read_request

APIS = (CHAT, COMPLETIONS, EMBEDDINGS)


def chat(**fields: Any) -> ModelRequest:
    return read_request(CHAT, json.dumps({"model": "m", "messages": [], **fields}).encode())


def raw_fields(body: bytes) -> dict[str, bytes]:
    return {name: bytes(raw) for name, raw in msgspec.json.decode(body, type=dict[str, msgspec.Raw]).items()}


# --- any bytes ---


def read_any(api: str, body: bytes) -> None:
    """Reading and writing a body either works or refuses it with a status of the client's."""
    try:
        request = read_request(api, body)
    except FareboxError as error:
        assert 400 <= error.status < 500  # noqa: PT017 -- both outcomes are right
        return
    assert request.profile.answers >= 1
    assert (request.profile.max_output_tokens or 0) >= 0
    for upstream_model in (request.model, "other"):
        assert json.loads(request.upstream_body(upstream_model).decode("utf-8", "replace"))["model"] == upstream_model


@given(st.sampled_from(APIS), st.binary())
def test_any_bytes_are_read_or_refused(api: str, body: bytes) -> None:
    read_any(api, body)


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "content", "include_usage", "x"]) | st.text(max_size=4), inner, max_size=3
        )
    ),
    max_leaves=6,
)
_OPTIONAL = (
    *("stream", "stream_options", "n", "max_tokens", "max_completion_tokens"),
    *("service_tier", "tools", "response_format"),
)
_KNOWN = st.sampled_from(
    ["messages", "prompt", "input", "best_of", "metadata", "user", "Model", *_OPTIONAL],
)


@given(st.sampled_from(APIS), st.dictionaries(_KNOWN, _VALUES), st.sampled_from(["m", ""]) | _VALUES)
def test_any_json_object_is_read_or_refused(api: str, fields: dict[str, Any], model: Any) -> None:
    read_any(api, json.dumps({**fields, "model": model}).encode())


_MUTANTS = st.builds(
    lambda body, at, junk: body[: at % len(body)] + junk + body[at % len(body) + len(junk) :],
    st.just(
        b'{"model":"m","stream":true,"stream_options":{"a":"b"},"messages":[{"role":"user","content":[{"type":"text"}]}],'
        b'"tools":[{}],"metadata":{"k":"v"},"response_format":{"type":"json"},"service_tier":"x","user":"u"}'
    ),
    st.integers(0, 300),
    st.binary(min_size=1, max_size=3),
)


@given(_MUTANTS)
def test_damaged_requests_are_read_or_refused(body: bytes) -> None:
    read_any(CHAT, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[{"content":[{"type":"\xff"}]}]}',
        b'{"model":"m","messages":[],"stream":true,"stream_options":{"\xff":1}}',
        b'{"model":"m","messages":[],"x":"\xff"}',
        b'{"model":"\xff","messages":[]}',
        b'{"model":"m","messages":[],"service_tier":"\xff"}',
    ],
)
def test_bytes_that_are_no_utf8(body: bytes) -> None:
    read_any(CHAT, body)


@pytest.mark.parametrize("depth", [100, 2_000, 50_000, 1_000_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize(
    "place",
    [
        b"%s",
        b'{"model":"m","messages":[],"x":%s}',
        b'{"model":"m","messages":[{"content":%s}]}',
        b'{"model":"m","messages":[],"a":%s,"a":1}',
    ],
)
def test_deep_nesting_never_crashes(depth: int, opening: bytes, closing: bytes, place: bytes) -> None:
    body = place.replace(b"%s", opening * depth + b"1" + closing * depth)
    try:
        request = read_request(CHAT, body)
    except FareboxError as error:
        assert error.status == 400  # noqa: PT017 -- shallow nesting is fine
        return
    request.upstream_body("m")
    request.upstream_body("other")


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"model":"m","messages":[],"x":' + b"[" * 100_000])
def test_deep_nesting_is_the_clients_mistake(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        read_request(CHAT, body)


# --- refusals ---


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "JSON object"),
        (b"null", "JSON object"),
        (b'"model"', "JSON object"),
        (b"{", "not valid JSON"),
        (b'{"model":"m"}x', "not valid JSON"),
        (b'{"model":NaN}', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
    ],
)
def test_no_json_object(body: bytes, says: str) -> None:
    with pytest.raises(InvalidJson, match=says) as caught:
        read_request(CHAT, body)
    assert caught.value.param is None


@pytest.mark.parametrize(("api", "field"), [(CHAT, "messages"), (COMPLETIONS, "prompt"), (EMBEDDINGS, "input")])
def test_required_fields(api: str, field: str) -> None:
    with pytest.raises(MissingField, match=field) as caught:
        read_request(api, b'{"model":"m"}')
    assert caught.value.param == field
    with pytest.raises(MissingField, match="model") as caught:
        read_request(api, b'{"%s":[]}' % field.encode())
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 4}, "model"),
        ({"model": ""}, "model"),
        ({"model": "x" * 257}, "model"),
        ({"model": "openai/gpt\r\nset-cookie: a=b"}, "model"),
        ({"Model": "dear"}, "Model"),
        ({"MODEL": "dear"}, "MODEL"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{}, None]}, "messages[1]"),
        ({"n": "1"}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": 10**30}, "n"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"max_completion_tokens": 2**31}, "max_completion_tokens"),
        ({"stream": "true"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"service_tier": 1}, "service_tier"),
        ({"tools": {}}, "tools"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": 1}}, "response_format.type"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidField) as caught:
        chat(**fields)
    assert caught.value.param == param
    assert f"`{param}`" in caught.value.message


def test_best_of_is_a_count_too() -> None:
    with pytest.raises(InvalidField) as caught:
        read_request(COMPLETIONS, b'{"model":"m","prompt":"","best_of":1e6}')
    assert caught.value.param == "best_of"


# --- the profile ---


def test_explicit_nulls_are_as_good_as_absent() -> None:
    nulls = dict.fromkeys([*_OPTIONAL, "user", "metadata"])
    request = chat(**nulls)
    assert request.profile._replace(input_bytes=0, input_tokens=0) == chat().profile._replace(
        input_bytes=0, input_tokens=0
    )
    assert not request.stream
    assert not request.include_usage
    fields = raw_fields(request.upstream_body("other"))
    assert all(fields[name] == b"null" for name in nulls)


def test_what_is_counted() -> None:
    profile = chat(
        messages=[
            {"role": "system", "content": "Hi"},
            {"role": "user", "content": [{"type": "text"}, {"type": "image_url"}, {"type": "input_image"}]},
            {"role": "user", "content": [{"type": "image", "source": {}}, {"no": "type"}]},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "tool"},
            {"role": "user", "content": ["text", {"type": "image_url"}]},
        ],
        tools=[{}, {}, {}],
        response_format={"type": "json_schema", "json_schema": {}},
        service_tier="flex",
        n=2,
        max_tokens=10,
        max_completion_tokens=20,
    ).profile
    assert (profile.messages, profile.images, profile.tools, profile.answers) == (6, 4, 3, 2)
    assert profile.json_schema
    assert profile.service_tier == "flex"
    assert profile.max_output_tokens == 20
    assert profile.input_tokens > 0


@pytest.mark.parametrize(
    ("kind", "json_schema"), [("json_schema", True), ("json_object", False), ("text", False), (None, False)]
)
def test_response_formats(kind: str | None, json_schema: bool) -> None:
    """Many models that keep to no schema still write JSON."""
    assert chat(response_format={"type": kind}).profile.json_schema is json_schema


def test_messages_are_kept_as_they_were_walked() -> None:
    """What a decision and the complexity model read: nothing walks over the messages again."""
    messages = [{"role": "user", "content": "hi"}, {"role": 5}, {"role": {"odd": []}, "content": None}, {}]
    kept = chat(messages=messages).messages
    assert [each.role for each in kept] == ["user", 5, {"odd": []}, None]
    assert [bytes(each.content) for each in kept] == [b'"hi"', b"null", b"null", b"null"]
    assert read_request(COMPLETIONS, b'{"model":"m","prompt":"a","messages":[{"role":"user"}]}').messages == ()


def test_max_tokens_alone() -> None:
    assert chat(max_tokens=7).profile.max_output_tokens == 7
    assert chat().profile.max_output_tokens is None


def test_counts_below_one_never_make_money() -> None:
    """A provider may refuse them; an estimate of a call that broke must not be negative."""
    request = chat(n=-5, max_tokens=-1)
    assert request.profile.answers == 1
    assert request.profile.max_output_tokens is None
    assert raw_fields(request.upstream_body("other"))["n"] == b"-5"


def test_a_service_tier_is_cut() -> None:
    assert chat(service_tier="x" * 10_000).profile.service_tier == "x" * 32


def test_completions_and_embeddings() -> None:
    profile = read_request(COMPLETIONS, b'{"model":"m","prompt":null,"best_of":3,"n":2,"stream":true}').profile
    assert (profile.answers, profile.stream, profile.max_output_tokens) == (3, True, None)
    profile = read_request(EMBEDDINGS, b'{"model":"m","input":["a"],"stream":true,"max_tokens":5}').profile
    assert (profile.answers, profile.stream, profile.max_output_tokens) == (1, False, 0)


# --- writing back ---

_SPACE = st.text(" \t\r\n", max_size=2).map(str.encode)
_ODD_VALUES = st.sampled_from(
    [
        b'"\\u0041\\/\\u00e9"',
        b"1.50e+2",
        b"-0",
        b"123456789012345678901234567890",
        b"0.1000",
        b'{ "b" : [ 1 , 2 ],\n "b":null}',
        b"[[],{}]",
        '"é\u2028\U0001f680"'.encode(),
        b"null",
        b"false",
    ]
)
_NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=6).filter(
    lambda name: name.lower() not in ("model", "stream", "stream_options", "messages", "n", "tools")
)


_ESCAPED_NAME = re.compile(rb'\\.(?:[^"\\]|\\.)*"\s*:', re.DOTALL)
"""A name with an escape in it is written again: two spellings of one name are the same field, and may be smuggled."""


@st.composite
def odd_bodies(draw: st.DrawFn, *, model: bytes = b'"m"', stream: bytes = b"false") -> bytes:
    """Valid bodies as no encoder of ours would write them."""
    names = draw(st.lists(_NAMES, unique=True, max_size=4))
    ascii_names = draw(st.booleans())
    fields = [(json.dumps(name, ensure_ascii=ascii_names).encode(), draw(_ODD_VALUES)) for name in names]
    fields += [(b'"model"', model), (b'"stream"', stream), (b'"messages"', b"[ ]")]
    space = lambda: draw(_SPACE)  # noqa: E731 -- a name for the draw
    pairs = [
        space() + name + space() + b":" + space() + value + space() for name, value in draw(st.permutations(fields))
    ]
    return space() + b"{" + b",".join(pairs) + b"}" + space()


@given(odd_bodies())
@example(b'{"\\u007f\\"":"\\u0041","model":"m","stream":false,"messages":[ ]}')
def test_when_nothing_changes_the_bytes_are_the_clients(body: bytes) -> None:
    sent = read_request(CHAT, body).upstream_body("m")
    assert sent == body or (_ESCAPED_NAME.search(body) and raw_fields(sent) == raw_fields(body))


@given(odd_bodies())
def test_when_the_model_changes_all_else_stays(body: bytes) -> None:
    written = raw_fields(read_request(CHAT, body).upstream_body("renamed"))
    assert written == {**raw_fields(body), "model": b'"renamed"'}
    assert list(written) == list(raw_fields(body))


@given(odd_bodies(stream=b"true"))
def test_usage_is_asked_for_in_every_stream(body: bytes) -> None:
    request = read_request(CHAT, body)
    assert request.stream
    assert not request.include_usage
    assert raw_fields(request.upstream_body("m")) == {**raw_fields(body), "stream_options": b'{"include_usage":true}'}


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (b"null", b'{"include_usage":true}'),
        (b"{}", b'{"include_usage":true}'),
        (b'{"include_usage":false,"x":1.0}', b'{"include_usage":true,"x":1.0}'),
        (b'{"include_usage":null}', b'{"include_usage":true}'),
        (b'{"include_obfuscation": false}', b'{"include_obfuscation":false,"include_usage":true}'),
        (b'{"include_usage":"yes"}', b'{"include_usage":true}'),
    ],
)
def test_stream_options_are_kept(options: bytes, sent: bytes) -> None:
    request = read_request(CHAT, b'{"model":"m","messages":[],"stream":true,"stream_options":%s}' % options)
    assert not request.include_usage
    assert raw_fields(request.upstream_body("m"))["stream_options"] == sent


def test_a_client_that_asks_for_usage_itself_is_passed_on_as_it_is() -> None:
    body = b'{"model":"m", "messages":[],"stream":true,"stream_options":{ "include_usage" : true }}'
    request = read_request(CHAT, body)
    assert request.include_usage
    assert request.upstream_body("m") == body
    assert raw_fields(request.upstream_body("other"))["stream_options"] == b'{ "include_usage" : true }'


def test_stream_options_without_a_stream_are_left_alone() -> None:
    body = b'{"model":"m","messages":[],"stream":false,"stream_options":{}}'
    assert read_request(CHAT, body).upstream_body("m") == body


@pytest.mark.parametrize("spelling", ["model", "mod\\u0065l", "\\u006dodel", "mode\\u006C"])
@pytest.mark.parametrize("space", ["", " "])
def test_a_repeated_model_cannot_smuggle_another(spelling: str, space: str) -> None:
    """Whichever a provider's parser keeps, it is the one that was governed."""
    bodies = (
        f'{{"model":{space}"dear","messages":[],"{spelling}":"cheap"}}',
        f'{{"{spelling}":"dear",{space}"model":"cheap","messages":[]}}',
    )
    for body in bodies:
        request = read_request(CHAT, body.encode())
        sent = request.upstream_body(request.model)
        pairs: list[list[tuple[str, Any]]] = []
        json.loads(sent, object_pairs_hook=pairs.append)
        assert [value for name, value in pairs[-1] if name == "model"] == [request.model]
        assert b"dear" not in sent


def test_other_repeated_fields_are_written_once() -> None:
    body = b'{"model":"m","messages":[],"max_tokens":1000000,"max_tokens":5}'
    request = read_request(CHAT, body)
    assert request.profile.max_output_tokens == 5
    assert request.upstream_body("m") == b'{"model":"m","messages":[],"max_tokens":5}'


def test_repeated_names_inside_are_the_clients_own_business() -> None:
    body = b'{"model":"m", "messages":[{"a":1,"a":2}]}'
    assert read_request(CHAT, body).upstream_body("m") == body


# --- bounds and streams that the gateway sets ---


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"max_completion_tokens": b"100"}),
        ({"max_tokens": None, "max_completion_tokens": None}, {"max_tokens": b"null", "max_completion_tokens": b"100"}),
        ({"max_tokens": 500}, {"max_tokens": b"100"}),
        ({"max_tokens": -1}, {"max_tokens": b"100"}),
        ({"max_completion_tokens": 500}, {"max_completion_tokens": b"100"}),
        ({"max_tokens": 50, "max_completion_tokens": 500}, {"max_tokens": b"50", "max_completion_tokens": b"100"}),
    ],
)
def test_a_bound_is_written_where_the_client_has_it(fields: dict[str, Any], expected: dict[str, bytes]) -> None:
    request = chat(**fields)
    written = raw_fields(request.upstream_body("m", max_tokens=100, max_tokens_field="max_completion_tokens"))
    assert {name: raw for name, raw in written.items() if name not in ("model", "messages")} == expected


def test_a_bound_of_a_completion() -> None:
    request = read_request(COMPLETIONS, b'{"model":"m","prompt":"a"}')
    written = raw_fields(request.upstream_body("m", max_tokens=7, max_tokens_field="max_completion_tokens"))
    assert written == {"model": b'"m"', "prompt": b'"a"', "max_tokens": b"7"}


def test_a_stream_for_a_client_that_does_not() -> None:
    written = raw_fields(chat(stream=False, x=1).upstream_body("m", stream=True))
    assert written["stream"] == b"true"
    assert written["stream_options"] == b'{"include_usage":true}'
    assert list(written) == ["model", "messages", "stream", "x", "stream_options"]
    assert "stream" not in raw_fields(chat().upstream_body("m"))


@pytest.mark.parametrize("name", ["Max_Tokens", "N", "max_token\u017f", "Tools", "STREAM", "be\u017ft_of", "\u212a"])
def test_fields_that_other_servers_take_for_ours_are_refused(name: str) -> None:
    if name == "\u212a":
        assert chat(**{name: 1}).model == "m", "of no field"
        return
    with pytest.raises(InvalidField) as caught:
        chat(**{name: 1})
    assert caught.value.param == name


def test_every_prompt_is_answered() -> None:
    def answers(prompt: str, **fields: Any) -> int:
        body = f'{{"model":"m","prompt":{prompt},"n":{fields.get("n", 1)}}}'
        return read_request(COMPLETIONS, body.encode()).profile.answers

    assert answers('"a"', n=2) == 2
    assert answers('["a","b","c"]', n=2) == 6
    assert answers("[[1,2],[3]]", n=2) == 4
    assert answers("[1,2,3]") == 1
    assert answers("[]") == 1


def test_usage_in_every_event_is_asked_for_beside_what_the_client_asks() -> None:
    request = chat(stream=True, stream_options={"x": 1})
    assert not request.running_usage
    sent = json.loads(request.upstream_body("gpt", running_usage=True))["stream_options"]
    assert sent == {"x": 1, "include_usage": True, "continuous_usage_stats": True}
    asked = chat(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True})
    assert asked.running_usage
    assert json.loads(asked.upstream_body("gpt", running_usage=True))["stream_options"] == {
        "include_usage": True,
        "continuous_usage_stats": True,
    }
