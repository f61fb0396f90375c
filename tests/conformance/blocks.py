"""The named blocks of docs/sdks.md: what people copy, and what the conformance run executes."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "sdks.md"

_BLOCK = re.compile(
    r"^<!-- run: (?P<name>[\w-]+) -->\n```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def named_blocks(page: str) -> dict[str, str]:
    """The blocks of a page that stand below `<!-- run: NAME -->`, by name. Raises ValueError when two share one."""
    found: dict[str, str] = {}
    for match in _BLOCK.finditer(page):
        if match["name"] in found:
            raise ValueError(f"two blocks are called {match['name']}")
        found[match["name"]] = match["text"]
    return found


def read_blocks() -> dict[str, str]:
    """The blocks of docs/sdks.md."""
    return named_blocks(PAGE.read_text("utf-8"))
