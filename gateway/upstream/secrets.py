"""Keeps an endpoint's own secrets out of what a provider's errors repeat. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
_SHORTEST = 8
"""What is shorter is no secret, and would be masked where it means something else."""
MASK = b"[masked]"


def mask(body: bytes, headers: tuple[tuple[str, str], ...]) -> bytes:
    """`body` without the values of the endpoint's secret headers."""
    for secret in _secrets(headers):
        body = body.replace(secret, MASK)
    return body


@lru_cache(maxsize=256)
def _secrets(headers: tuple[tuple[str, str], ...]) -> tuple[bytes, ...]:
    values = (value.split(" ")[-1] for name, value in headers if _SECRET_NAME.search(name))
    return tuple(value.encode() for value in values if len(value) >= _SHORTEST)
