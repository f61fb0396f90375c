"""A store of responses on a database of its own, callers of two organisations, and answers to keep."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec

from gateway.config.snapshot import ResponseSettings, ServerSettings, Snapshot
from gateway.identity.keys import Principal
from gateway.journal.engine import AsyncEngine
from gateway.responses.store import NOTHING_BEFORE, Keeping, Recalled, ResponseStore
from gateway.wire.native import RESPONSES, Native
from gateway.wire.tongues import read_tongue
from tests.gateway.snapshots import snapshot_of

NOW_S = 1_800_000_000.0
ALICE = Principal("acme", "quality", "tester", "fb-12345678")
BOB = ALICE._replace(agent="other", key_id="fb-87654321")
"""Of the same organisation."""
EVE = Principal("elsewhere", "others", "eve", "fb-99999999")


class World:
    """One gateway's store."""

    def __init__(self, engine: AsyncEngine, **settings: Any) -> None:
        self.now_s = NOW_S
        self.snapshot: Snapshot = snapshot_of(responses=ResponseSettings(**settings))
        self.store = ResponseStore(engine, lambda: self.snapshot, lambda: self.now_s)

    def set(self, **settings: Any) -> None:
        """Change settings."""
        self.snapshot = replace(self.snapshot, responses=replace(self.snapshot.responses, **settings))

    def bound(self, max_body_bytes: int) -> None:
        """Change the size of requests."""
        self.snapshot = replace(self.snapshot, server=ServerSettings(max_body_bytes=max_body_bytes))

    async def keep(self, name: str, recalled: Recalled = NOTHING_BEFORE, **changes: Any) -> None:
        """A response that says its own name, to a request that asks for it."""
        keeping = Keeping(changes.pop("principal", ALICE), f"req_{name}", "gpt", [said(name)], recalled)
        body = changes.pop("body", None) or answer(name, **changes.pop("answer", {}))
        await self.store.keep(keeping._replace(**changes), body)


def said(name: str) -> msgspec.Raw:
    """An item of a request."""
    return raw({"id": f"msg_in_{name}", "type": "message", "role": "user", "content": f"say {name}"})


def answered(name: str) -> dict[str, Any]:
    """An item of an answer."""
    return {"id": f"msg_out_{name}", "type": "message", "role": "assistant", "content": name}


def answer(name: str, **changes: Any) -> bytes:
    """A response object."""
    base = {
        "id": name,
        "object": "response",
        "status": "completed",
        "output": [answered(name)],
        "usage": {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12},
    }
    return json.dumps({**base, **changes}).encode()


def raw(value: Any) -> msgspec.Raw:
    """As items are handed about."""
    return msgspec.Raw(json.dumps(value).encode())


def plain(items: list[msgspec.Raw]) -> list[Any]:
    """Items as JSON has them."""
    return [json.loads(bytes(item)) for item in items]


def ids(items: list[msgspec.Raw]) -> list[str]:
    """Of items."""
    return [item["id"] for item in plain(items)]


def request(**fields: Any) -> Native:
    """A request for a response."""
    body = json.dumps({"model": "gpt", "input": "hello", **fields}).encode()
    native = read_tongue(RESPONSES, body).native
    assert native is not None
    return native
