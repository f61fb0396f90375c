from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.json_schema import fits

ADDRESS = {
    "type": "object",
    "properties": {"street": {"type": "string", "minLength": 1}, "number": {"type": "integer", "minimum": 1}},
    "required": ["street"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "node": {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}
    },
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        ({"street": "Main", "number": 3}, ADDRESS, True),
        ({"street": "Main", "number": 3.0}, ADDRESS, True),
        ({"number": 3}, ADDRESS, False),
        ({"street": ""}, ADDRESS, False),
        ({"street": "Main", "number": 0}, ADDRESS, False),
        ({"street": "Main", "number": True}, ADDRESS, False),
        ({"street": "Main", "more": 1}, ADDRESS, False),
        ([], ADDRESS, False),
        ({"below": [{"below": []}, {}]}, TREE, True),
        ({"below": [{"below": [7]}]}, TREE, False),
        ("b", {"enum": ["a", "b"]}, True),
        (1, {"enum": [True]}, False),
        (None, {"type": ["string", "null"]}, True),
        (5, {"anyOf": [{"type": "string"}, {"type": "number", "maximum": 4}]}, False),
        (5, {"oneOf": [{"type": "integer"}, {"minimum": 3}]}, False),
        (["a", 1], {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, True),
        ([1, 2, 3], {"type": "array", "maxItems": 2}, False),
        ("x", {"type": "string", "format": "uuid", "pattern": "^y$"}, True),  # not known here
        ("x", {"$ref": "https://example.com/schema"}, True),
    ],
)
def test_values_and_schemas(value: Any, schema: Any, expected: bool) -> None:
    assert fits(value, schema) is expected


def test_a_schema_that_refers_to_itself_ends() -> None:
    assert fits({}, {"$ref": "#"})
    wide: dict[str, Any] = {"anyOf": []}
    wide["anyOf"] = [{"allOf": [{"$ref": "#"}] * 9}] * 9
    assert fits(1, wide)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@given(
    JSON, st.dictionaries(st.sampled_from(("type", "enum", "items", "required", "anyOf", "$ref", "properties")), JSON)
)
def test_any_schema_has_an_answer(value: Any, schema: Any) -> None:
    assert fits(value, schema) in (True, False)
