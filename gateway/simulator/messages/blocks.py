"""The messages of a request: checked block by block as Anthropic checks them, and turned into tokens."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.simulator import chance
from gateway.simulator.fields import Body
from gateway.simulator.messages.cache import FIVE_MINUTES_S, HOUR_S, Mark
from gateway.simulator.messages.tongue import refused
from gateway.simulator.seals import is_sealed
from gateway.simulator.tokenizer import Tokenizer

IMAGE_TOKENS = 1_100
DOCUMENT_TOKENS = 1_500
_MOST_MARKS = 4
_MESSAGE, _IMAGE, _DOCUMENT = -1, -1_000, -2_000_000  # ids of framing lie below zero: they never equal text
_PASSED = frozenset(
    (
        *("server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result"),
        *("bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result"),
        *("mcp_tool_use", "mcp_tool_result", "search_result", "container_upload", "compaction"),
    )
)
_KNOWN = ("text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result")
_SPEAKERS = {"tool_use": "assistant", "thinking": "assistant", "redacted_thinking": "assistant", "tool_result": "user"}


class Checker:
    """Checks one message after the other: a call must be answered at once, a thought come back unchanged."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._where = ""

    def message(self, role: str, blocks: list[Body], where: str) -> None:
        """Check a message. Raises SimError (400)."""
        results = [block.get("tool_use_id") for block in blocks if block.get("type") == "tool_result"]
        missing = [call_id for call_id in self._waiting if call_id not in results]
        if missing:
            raise refused(
                f"{self._where}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        for index, block in enumerate(blocks):
            self._block(role, block, f"{where}.content.{index}")
        self._waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        self._where = where

    def finish(self) -> None:
        """There are no more messages. Raises SimError (400)."""
        self.message("user", [], "")

    def _block(self, role: str, block: Body, where: str) -> None:
        kind = str(block.get("type"))
        if kind not in _KNOWN and kind not in _PASSED:
            expected = ", ".join(f"'{name}'" for name in sorted({*_KNOWN, *_PASSED}))
            raise refused(
                f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {expected}"
            )
        if _SPEAKERS.get(kind, role) != role:
            raise refused(f"{where}: `{kind}` blocks can only be in `{_SPEAKERS[kind]}` messages")
        if kind == "text":
            _check_text(block, where)
        elif kind == "thinking":
            thought, signature = _needs(block, "thinking", where), _needs(block, "signature", where)
            if not is_sealed(thought, signature):
                raise refused(f"{where}: Invalid `signature` in `thinking` block")
        elif kind == "tool_use":
            _needs(block, "id", where)
            _needs(block, "name", where)
            if not isinstance(block.get("input"), dict):
                raise refused(f"{where}.tool_use.input: Input should be a valid dictionary")
        elif kind == "tool_result" and _needs(block, "tool_use_id", where) not in self._waiting:
            raise refused(
                f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {block['tool_use_id']}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )


def _check_text(block: Body, where: str) -> None:
    text = _needs(block, "text", where)
    if not text:
        raise refused("messages: text content blocks must be non-empty")
    if not text.strip():
        raise refused("messages: text content blocks must contain non-whitespace text")


def _needs(block: Body, name: str, where: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        problem = "Field required" if value is None else "Input should be a valid string"
        raise refused(f"{where}.{block['type']}.{name}: {problem}")
    return value


class Ink:
    """Writes a prompt as token ids, and remembers where its blocks end."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.ids: list[int] = []
        self.marks: list[Mark] = []

    def json(self, value: Body) -> None:
        """Something that counts as it is written: a tool, a schema."""
        self._write(_json({name: said for name, said in value.items() if name != "cache_control"}))
        self._mark(value)

    def framing(self, role: str) -> None:
        """The beginning of a message."""
        self.ids += [_MESSAGE] * 2
        self._write(role)

    def block(self, block: Body) -> None:
        """A block of content."""
        self._content(block)
        self._mark(block)

    def mark_all(self, cache_control: Body) -> None:
        """Everything so far is to be kept."""
        self._mark({"cache_control": cache_control})

    def _content(self, block: Body) -> None:
        kind = str(block.get("type"))
        if kind in {"text", "thinking"}:
            self._write(str(block.get(kind)))
        elif kind == "image":
            self.ids += [_IMAGE - chance.number(_json(block.get("source"))) % 1_000_000] * IMAGE_TOKENS
        elif kind == "document":
            self._document(block)
        elif kind == "tool_result":
            content = block.get("content")
            for part in as_blocks(content) if content else ():
                self._content(part)
        elif kind == "tool_use":
            self.ids += [_MESSAGE] * 3
            self._write(f"{block.get('name')}{_json(block.get('input'))}")
        else:
            self._write(_json({name: said for name, said in block.items() if name != "cache_control"}))

    def _document(self, block: Body) -> None:
        source = block.get("source")
        if isinstance(source, dict) and source.get("type") == "text":
            self._write(str(source.get("data")))
        else:
            self.ids += [_DOCUMENT - chance.number(_json(source)) % 1_000_000] * DOCUMENT_TOKENS

    def _write(self, text: str) -> None:
        self.ids += self._tokenizer.encode(text)

    def _mark(self, block: Body) -> None:
        asked = block.get("cache_control")
        ttl_s = None
        if isinstance(asked, dict):
            ttl_s = HOUR_S if asked.get("ttl") == "1h" else FIVE_MINUTES_S
        self.marks.append(Mark(len(self.ids), ttl_s))


def check_marks(marks: list[Mark]) -> None:
    """Raise SimError (400) when more is to be kept than may be, or for longer after what is kept for less."""
    asked = [mark.ttl_s for mark in marks if mark.ttl_s is not None]
    if len(asked) > _MOST_MARKS:
        raise refused(f"A maximum of {_MOST_MARKS} blocks with cache_control may be provided. Found {len(asked)}.")
    if asked != sorted(asked, reverse=True):
        raise refused("A ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.")


def as_blocks(content: Any) -> list[Body]:
    """A content that is a text or blocks, as blocks."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
