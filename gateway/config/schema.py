"""JSON Schemas for editors, made from the models. `python -m gateway.config.schema` writes what is generated from them.

Those files are `gateway/config/config.schema.json`, `policies/schema.json`, `policies/cases/schema.json`, and the
reference in docs/configuration.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.config.models import RawConfig
from gateway.config.models.cases import CaseFile
from routing.policy import Policy

CONFIG_SCHEMA = Path(__file__).with_name("config.schema.json")
_CHECKOUT = Path(__file__).resolve().parents[2]
_REFERENCE = {"type": "string", "pattern": r"\$\{"}
_SCALARS = frozenset({"integer", "number", "boolean"})


def config_schema() -> dict[str, Any]:
    """The JSON Schema of `config.yaml`. Wherever a number or a name may stand, a `${NAME}` reference may too."""
    schema: dict[str, Any] = _with_references(RawConfig.model_json_schema())
    schema["properties"]["unpriced"] = {
        "anyOf": [{"const": "deny"}, {"$ref": "#/$defs/UnpricedRule"}],
        "default": "deny",
        "description": schema["properties"]["unpriced"]["description"],
    }
    return _titled(schema, "Farebox configuration")


def policy_schema() -> dict[str, Any]:
    """The JSON Schema of a policy file."""
    schema = Policy.model_json_schema()
    parts = schema["$defs"]
    name, names = parts["Default"]["properties"]["use"]["anyOf"][:2]
    schema["properties"]["default"]["anyOf"][:0] = [name, names]
    for holder in ("Default", "Rule"):  # the short form: checks alone
        parts[holder]["properties"]["verify"]["anyOf"].insert(0, {"$ref": "#/$defs/Verification/properties/checks"})
    return _titled(schema, "Farebox policy")


def case_schema() -> dict[str, Any]:
    """The JSON Schema of a file of cases."""
    return _titled(CaseFile.model_json_schema(), "Farebox cases")


def _titled(schema: dict[str, Any], title: str) -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def _with_references(schema: Any, *, value: bool = True) -> Any:
    """The schema with references allowed for scalar values, and without the titles that pydantic makes up."""
    if isinstance(schema, list):
        return [_with_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy: dict[str, Any] = {}
    for key, part in schema.items():
        if key in {"properties", "$defs"}:
            copy[key] = {name: _with_references(entry) for name, entry in part.items()}
        elif key in {"propertyNames", "default", "patternProperties"}:
            copy[key] = part
        elif key != "title":
            copy[key] = _with_references(part)
    named = copy.get("type") == "string" and "pattern" in copy and _REFERENCE["pattern"] not in copy["pattern"]
    if copy.get("type") in _SCALARS or named:
        described = {key: copy.pop(key) for key in ("default", "description") if key in copy}
        return {"anyOf": [copy, _REFERENCE], **described}
    return copy


def render(schema: dict[str, Any]) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write() -> list[Path]:
    """Write everything that is generated from the models, in a checkout."""
    from gateway.config.reference import with_reference

    docs = _CHECKOUT / "docs" / "configuration.md"
    texts = {
        CONFIG_SCHEMA: render(config_schema()),
        _CHECKOUT / "policies" / "schema.json": render(policy_schema()),
        _CHECKOUT / "policies" / "cases" / "schema.json": render(case_schema()),
        docs: with_reference(docs.read_text(encoding="utf-8")),
    }
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


if __name__ == "__main__":
    for written in write():
        print(written)
