"""Reads forms, apart from `gateway.wire.multipart`, so that a mistake there cannot hide in both."""

from __future__ import annotations

import hashlib
from email.parser import BytesParser
from email.policy import HTTP

from gateway.simulator.errors import invalid
from gateway.simulator.fields import Body


def read_form(raw: bytes, content_type: str) -> Body:
    """A form's fields; of a file its size, its digest and its beginning. Raises SimError (400).

    The names of lists lose their brackets, as servers do: `image[]` is `image`. JSON is not a form.
    """
    if not content_type.lower().startswith("multipart/form-data"):
        raise invalid("Could not parse multipart form.", code="invalid_form")
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + raw)
    body: Body = {}
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition") or "")
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        name = name.removesuffix("[]")
        if part.get_filename() is None:
            body[name] = data.decode("utf-8", "replace")
        else:
            file = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "head": data[:64].hex()}
            body.setdefault(name, []).append(file)
    if not body:
        raise invalid("Could not parse multipart form.", code="invalid_form")
    return body


def number(body: Body, name: str, default: int) -> int:
    """A whole number, as JSON or as a form has it. Raises SimError (400)."""
    value = body.get(name)
    if value is None:
        return default
    try:
        return int(value)
    except (TypeError, ValueError):
        raise invalid(f"Invalid type for '{name}': expected an integer.", name, "invalid_type") from None


def flag(body: Body, name: str) -> bool:
    """A yes or no, as JSON or as a form has it."""
    return body.get(name) in (True, "true", "True", "1")
