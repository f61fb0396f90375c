"""What every agent script shares: its scenarios, its tool, and the line in which it says what it saw.

Runs in the SDK's own environment, so it imports nothing but the standard library. A script gives two functions, one
that runs its agent plainly and one that streams; each takes the names that the documentation's block defined, and
returns what it saw. Each scenario ends with one line on standard output: MARK and a JSON object.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

MARK = "::farebox:: "
QUESTION = "What is the weather in Paris? Ask the tool, then say it in a sentence."
DOCUMENTED_URL = "http://127.0.0.1:4000"
DOCUMENTED_MODEL = "sim-small"
_SHOWN_CHARS = 1000

_tool_calls = 0


@dataclass
class Seen:
    """What an SDK let its user see of one run."""

    answer: str = ""
    input_tokens: int | None = None
    """As the SDK sums them up for its user; None where it does not tell."""
    output_tokens: int | None = None
    chunks: int = 0
    """Events of the stream that the user gets."""


def weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: The city's name.
    """
    global _tool_calls  # noqa: PLW0603 -- one script, one tool
    _tool_calls += 1
    return f"It is sunny in {city}."


Run = Callable[[SimpleNamespace], Any]


def play(plain: Run, streamed: Run) -> None:
    """Run the scenarios that the environment names, in order."""
    for scenario in json.loads(Path(os.environ["FAREBOX_SCENARIOS"]).read_text("utf-8")):
        said = _play(scenario, streamed if scenario["stream"] else plain)
        print("\n" + MARK + json.dumps({"id": scenario["id"], **said}), flush=True)


def _play(scenario: dict[str, Any], run: Run) -> dict[str, Any]:
    global _tool_calls  # noqa: PLW0603
    _tool_calls = 0
    seen, error = Seen(), None
    os.environ["FAREBOX_KEY"] = scenario["key"]
    started_s = time.monotonic()
    try:
        seen = _result(run(_pointed(scenario)))
    except (Exception, SystemExit, asyncio.CancelledError) as caught:  # anything is an answer here
        traceback.print_exc(file=sys.stderr)
        error = {"type": type(caught).__name__, "message": str(caught)[:_SHOWN_CHARS]}
    seconds = round(time.monotonic() - started_s, 1)
    return {**asdict(seen), "tool_calls": _tool_calls, "error": error, "seconds": seconds}


def _result(returned: Any) -> Seen:
    return asyncio.run(returned) if inspect.iscoroutine(returned) else returned


def _pointed(scenario: dict[str, Any]) -> SimpleNamespace:
    """The names that the documentation's block defines, once it points at the gateway and the model of the scenario."""
    text = scenario["block"].replace(DOCUMENTED_URL, scenario["url"]).replace(DOCUMENTED_MODEL, scenario["model"])
    names: dict[str, Any] = {"__name__": "block"}
    exec(compile(text, "docs/sdks.md", "exec"), names)
    return SimpleNamespace(**names, api=scenario["api"])
