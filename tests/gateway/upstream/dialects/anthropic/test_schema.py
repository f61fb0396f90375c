"""Schemas as Anthropic takes them: closed objects, nothing that it does not know, nothing lost."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from anthropic import transform_schema
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects.anthropic.schema import adapted

leaves = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 9),
            "format": st.sampled_from(["email", "zip"]),
            "description": st.just("d"),
        },
    ),
    st.fixed_dictionaries({"type": st.just("integer")}, optional={"minimum": st.integers(0, 9)}),
    st.just({"type": "boolean"}),
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["a", "b"])
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(names, inner, max_size=2)},
            optional={
                "required": st.lists(names, max_size=1),
                "additionalProperties": st.booleans(),
                "title": st.just("t"),
            },
        ),
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner}, optional={"minItems": st.integers(0, 3), "maxItems": st.just(4)}
        ),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
    )


def adapt(schema: Any) -> Any:
    return json.loads(bytes(adapted(msgspec.Raw(json.dumps(schema).encode()))))


def orderless(schema: Any) -> Any:
    """A schema whose descriptions may name things in any order."""
    if isinstance(schema, list):
        return [orderless(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    read = {name: orderless(value) for name, value in schema.items()}
    if isinstance(read.get("description"), str):
        read["description"] = sorted(read["description"])
    return read


@given(st.recursive(leaves, nested, max_leaves=6))
def test_as_anthropics_own_sdk_does(schema: dict[str, Any]) -> None:
    assert orderless(adapt(schema)) == orderless(transform_schema(json.loads(json.dumps(schema))))


@given(st.recursive(leaves, nested, max_leaves=6))
def test_twice_is_once(schema: dict[str, Any]) -> None:
    assert adapt(adapt(schema)) == adapt(schema)


@pytest.mark.parametrize("schema", [True, [], "x", None])
def test_what_is_no_schema_is_the_providers_to_judge(schema: Any) -> None:
    assert adapt(schema) == schema


def test_definitions_and_several_types() -> None:
    inner = {"type": ["object", "null"], "properties": {"x": {"$ref": "#/$defs/A"}}}

    assert adapt({"$defs": {"A": inner}, "$ref": "#/$defs/A", "$schema": "s"}) == {
        "$defs": {"A": {**inner, "additionalProperties": False}},
        "$ref": "#/$defs/A",
    }
