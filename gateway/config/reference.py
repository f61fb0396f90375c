"""The reference of all settings, as docs/configuration.md has it, made from the models."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.config.models import RawConfig
from gateway.config.models.prices import UnpricedRule
from gateway.config.validate import plain_type

BEGIN = "<!-- settings: made by `make schema` -->"
END = "<!-- end of settings -->"

_NAMED = {
    "providers": "provider",
    "models": "model",
    "orgs": "org",
    "teams": "team",
    "agents": "agent",
    "keys": "key",
    "service_tiers": "tier",
    "headers": "header",
}


def settings() -> list[tuple[str, FieldInfo]]:
    """Every setting by its path, in the models' order: `providers.<provider>.timeouts.connect_s`."""
    found: list[tuple[str, FieldInfo]] = []
    _walk(RawConfig, "", found)
    return found


def reference() -> str:
    """A table of all settings for each section."""
    lines: list[str] = []
    section = None
    for path, field in settings():
        heading = path.partition(".")[0] if "." in path else None
        if heading is None and _holds_settings(field):
            lines += ["", f"### `{path}`", "", field.description or "", "", "| setting | default | |", "|---|---|---|"]
            section = path
            continue
        if heading is None and section != "":
            lines += ["", f"### `{path}`", "", f"{field.description} Default: {_default(field)}."]
            continue
        lines.append(f"| `{path}` | {_default(field)} | {(field.description or '').replace('|', chr(92) + '|')} |")
    return "\n".join(lines).strip("\n") + "\n"


def with_reference(document: str) -> str:
    """The document with its reference made anew. Raises ValueError when the marks are not there."""
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no {BEGIN} ... {END} in the document")
    return f"{head}{BEGIN}\n\n{reference()}\n{END}{tail}"


def _walk(model: type[BaseModel], prefix: str, found: list[tuple[str, FieldInfo]]) -> None:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        found.append((path, field))
        inner = plain_type(field.annotation)
        if get_origin(inner) is dict:
            path += f".<{_NAMED.get(name, 'name')}>"
            inner = plain_type(get_args(inner)[1])
        elif get_origin(inner) is list:
            path += "[]"
            inner = plain_type(get_args(inner)[0])
        repeated = prefix.endswith((".price.", "service_tiers.<tier>.")) and name in {"service_tiers", "context_tiers"}
        if _is_model(inner) and not repeated and not (prefix.endswith("deployments[].") and name == "price"):
            _walk(inner, path + ".", found)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _holds_settings(field: FieldInfo) -> bool:
    inner = plain_type(field.annotation)
    if get_origin(inner) is dict:
        inner = plain_type(get_args(inner)[1])
    return _is_model(inner) and bool(inner.model_fields)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, UnpricedRule):
        return "`deny`"
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        yes, no = ("on", "off") if field.annotation is bool and "on" in (field.examples or ()) else ("true", "false")
        return f"`{yes if value else no}`"
    return f"`{value}`"
