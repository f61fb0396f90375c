"""Whether a name fits a provider's or a model's clause: genai-prices' rules as data, and their small evaluator.

A clause is a list of an operator and its operand:

    ["=", text]   equals            ["~", pattern]   a regular expression is found
    ["^", text]   starts with       ["|", [clause, ...]]   any
    ["$", text]   ends with         ["&", [clause, ...]]   all
    ["*", text]   contains

Texts are lower case, and so must be the name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

Clause = list[Any]
"""See the module's table. Decoded from the compiled file, whose checksum has been verified."""


def matches(clause: Clause, name: str) -> bool:
    """Whether `name`, in lower case, fits `clause`."""
    operator, operand = clause
    return _TESTS[operator](operand, name)


_TESTS: dict[str, Callable[[Any, str], bool]] = {
    "=": lambda text, name: name == text,
    "^": lambda text, name: name.startswith(text),
    "$": lambda text, name: name.endswith(text),
    "*": lambda text, name: text in name,
    "~": lambda pattern, name: re.search(pattern, name) is not None,
    "|": lambda parts, name: any(matches(part, name) for part in parts),
    "&": lambda parts, name: all(matches(part, name) for part in parts),
}


_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def dashed_dates(name: str) -> str:
    """`gpt-5.2-20251211` as `gpt-5.2-2025-12-11`: LiteLLM and OpenRouter write dates compactly, price lists do not."""
    return _COMPACT_DATE.sub(_dashed, name)


def _dashed(found: re.Match[str]) -> str:
    year, month, day = (int(part) for part in found.groups())
    try:
        return f"-{date(year, month, day).isoformat()}"
    except ValueError:  # the 31st of a short month: no date
        return found.group()
