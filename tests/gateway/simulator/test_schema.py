import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator import chance
from gateway.simulator.schema import SchemaFiller

LEAVES = st.one_of(
    st.just({"type": "string"}),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({"type": ["integer", "null"]}),
    st.builds(
        lambda a, b: {"type": "string", "minLength": a, "maxLength": a + b}, st.integers(0, 40), st.integers(0, 40)
    ),
    st.builds(
        lambda a, b: {"type": "integer", "minimum": a, "maximum": a + b}, st.integers(-99, 99), st.integers(0, 9)
    ),
    st.builds(lambda a: {"type": "integer", "exclusiveMinimum": a, "multipleOf": 7}, st.integers(-99, 99)),
    st.builds(lambda a: {"type": "number", "exclusiveMaximum": a}, st.integers(-99, 99)),
    st.builds(lambda values: {"enum": values}, st.lists(st.integers() | st.text(), min_size=1, max_size=3)),
    st.builds(lambda value: {"const": value}, st.integers() | st.text()),
)


def _deeper(inner: st.SearchStrategy) -> st.SearchStrategy:
    properties = st.dictionaries(st.text(max_size=5), inner, max_size=4)
    return st.one_of(
        st.builds(
            lambda p: {"type": "object", "properties": p, "required": list(p)[::2], "additionalProperties": False},
            properties,
        ),
        st.builds(
            lambda i, a, b: {"type": "array", "items": i, "minItems": a, "maxItems": a + b},
            inner,
            st.integers(0, 3),
            st.integers(0, 3),
        ),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3)),
    )


@settings(deadline=None)
@given(st.recursive(LEAVES, _deeper, max_leaves=12), st.integers(0, 1000))
def test_the_value_fits(schema: dict, seed: int) -> None:
    value = SchemaFiller(schema, chance.dice(seed)).fill()
    jsonschema.validate(value, schema)
    assert value == SchemaFiller(schema, chance.dice(seed)).fill()


@pytest.mark.parametrize("seed", range(20))
def test_recursive_schemas_end(seed: int) -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["name", "next", "children"],
                "additionalProperties": False,
            }
        },
    }
    jsonschema.validate(SchemaFiller(schema, chance.dice(seed)).fill(), schema)


def test_all_of_and_formats() -> None:
    schema = {
        "allOf": [
            {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}, "required": ["day"]},
            {"properties": {"count": {"type": "integer"}}, "required": ["count"]},
        ]
    }
    value = SchemaFiller(schema, chance.dice(1)).fill()
    assert value["day"] == "2026-03-14"
    jsonschema.validate(value, schema)


KEYWORDS = [
    "type",
    "$ref",
    "properties",
    "required",
    "items",
    "anyOf",
    "allOf",
    "enum",
    "minimum",
    "minItems",
    "maxLength",
]
NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYWORDS), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(NONSENSE)
def test_nonsense_never_raises(schema: object) -> None:
    if isinstance(schema, dict):
        SchemaFiller(schema, chance.dice(1)).fill()


def test_a_schema_cannot_ask_for_too_much() -> None:
    schema: dict = {"type": "string", "minLength": 10**12}
    for _ in range(5):
        schema = {"type": "array", "items": schema, "minItems": 10**9}
    SchemaFiller(schema, chance.dice(1)).fill()


def test_a_schema_without_end_is_given_up() -> None:
    node = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "required": ["left", "right"]}
    SchemaFiller(node, chance.dice(1)).fill()
