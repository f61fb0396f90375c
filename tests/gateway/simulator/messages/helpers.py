"""Requests of /v1/messages."""

from __future__ import annotations

from typing import Any

from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.helpers import Answer, post

PATH = "/v1/messages"
WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SEARCH: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
THINKING: dict[str, Any] = {"type": "enabled", "budget_tokens": 1_024}
USER: dict[str, Any] = {"role": "user", "content": "Why is the sky blue at noon?"}


def ask(*more: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A request about the sky, with messages after the first."""
    return {"model": "sim-claude", "max_tokens": 2_000, "messages": [USER, *more], **fields}


async def send(sim: SimulatorServer, body: dict[str, Any], path: str = PATH, **headers: str) -> Answer:
    """Post it as Anthropic's clients do. Header names have `_` for `-`."""
    return await post(sim, body, path=path, **{"x_api_key": "k", "anthropic_version": "2023-06-01", **headers})


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    """What the model said."""
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    """What comes back."""
    return {"role": "user", "content": list(blocks)}


def only(sim: SimulatorServer) -> Record:
    """The one line of the bill."""
    (record,) = sim.bill.records
    return record
