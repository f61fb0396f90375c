"""Tools that Anthropic defines: any model can be told of them, and Claude's own count of them stays in its bound."""

from __future__ import annotations

import json

import msgspec
import pytest

from gateway.wire.messages import read
from gateway.wire.messages.defined import function_of

DOCUMENTED_TOKENS = {"bash_20250124": 245, "text_editor_20250728": 700}
"""What docs/en/agents-and-tools says that they add."""


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("bash_20250124", {"command", "restart"}),
        ("bash_20241022", {"command", "restart"}),
        ("text_editor_20250429", {"command", "path", "old_str", "new_str", "file_text", "insert_line", "view_range"}),
        ("memory_20250818", {"command", "path", "old_path", "new_path", "file_text", "insert_text"}),
    ],
)
def test_known_ones(kind: str, arguments: set[str]) -> None:
    chat, native = read(
        json.dumps(
            {
                "model": "m",
                "max_tokens": 9,
                "messages": [{"role": "user", "content": "x"}],
                "tools": [{"type": kind, "name": "given"}],
            }
        ).encode()
    )
    assert (native.refused, native.unknown, native.services) == (None, None, ())
    (tool,) = json.loads(chat)["tools"]
    assert tool["function"]["name"] == "given"
    assert arguments <= set(tool["function"]["parameters"]["properties"])


@pytest.mark.parametrize("kind", sorted(DOCUMENTED_TOKENS))
def test_they_are_bounded_by_their_functions(kind: str) -> None:
    assert len(msgspec.json.encode(function_of(kind, "x"))) > DOCUMENTED_TOKENS[kind]


@pytest.mark.parametrize("kind", ["computer_20250124", "browser_toolset_20260801", "web_search_20250305"])
def test_others_are_not_known(kind: str) -> None:
    assert function_of(kind, "x") is None
