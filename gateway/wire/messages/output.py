"""The form of the answer: a schema in `output_config` or `output_format` is chat's `response_format`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire.messages.notes import ABSENT, MALFORMED, is_null, misshapen, missing, starts_with, wrong

Fields = dict[str, msgspec.Raw]
_NAME: Final = "answer"
"""OpenAI wants schemas to have names."""
_MAX_DEPTH: Final = 64

_fields_decoder = msgspec.json.Decoder(Fields)


class _Format(msgspec.Struct):
    type: str
    schema: msgspec.Raw = ABSENT


_format_decoder = msgspec.json.Decoder(_Format)


def read_output(said: Fields) -> dict[str, Any]:
    """The chat fields that they become; what else is in `output_config` stays there. Raises BadRequest errors."""
    out: dict[str, Any] = {}
    wanted, field = said.get("output_format", ABSENT), "output_format"
    if "output_config" in said:
        try:
            config = _fields_decoder.decode(said["output_config"])
        except MALFORMED as error:
            raise misshapen("output_config", error) from None
        found = config.pop("format", ABSENT)
        if not is_null(found):
            wanted, field = found, "output_config.format"
        if config:
            out["output_config"] = config
    if not is_null(wanted):
        out["response_format"] = _response_format(wanted, field)
    return out


def _response_format(raw: msgspec.Raw, field: str) -> dict[str, Any]:
    try:
        read = _format_decoder.decode(raw)
    except MALFORMED as error:
        raise misshapen(field, error) from None
    if read.type != "json_schema":
        raise wrong(f"{field}.type", "must be `json_schema`")
    if is_null(read.schema):
        raise missing(f"{field}.schema")
    if not starts_with(read.schema, b"{"):
        raise wrong(f"{field}.schema", "must be a JSON Schema")
    strict = is_strict(msgspec.json.decode(read.schema))
    return {"type": "json_schema", "json_schema": {"name": _NAME, "schema": read.schema, "strict": strict}}


def is_strict(schema: Any, depth: int = _MAX_DEPTH) -> bool:
    """Whether OpenAI would take it as strict: closed objects, of which every property is required."""
    if not depth:
        return False
    if isinstance(schema, list):
        return all(is_strict(each, depth - 1) for each in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if isinstance(properties, dict):
        required = schema.get("required")
        listed = set(required) if isinstance(required, list) and all(isinstance(x, str) for x in required) else set()
        if schema.get("additionalProperties") is not False or listed != set(properties):
            return False
    return all(is_strict(each, depth - 1) for each in schema.values())
