"""Runs an SDK's script as a process, bounded in time, and reads what it says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.conformance.agents.saying import MARK
from tests.conformance.environments import Environment

AGENTS = Path(__file__).parent / "agents"
SCENARIO_LIMIT_S = 90.0
"""An SDK that has not ended a scenario by then is killed: it hangs."""
_QUIET = {
    # nobody's counters, hubs and price lists: the only server here is the gateway
    "DO_NOT_TRACK": "1",
    "OTEL_SDK_DISABLED": "true",
    "ANONYMIZED_TELEMETRY": "false",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "PYTHONUNBUFFERED": "1",
}
_LINE_BYTES = 4_194_304


class Script:
    """One SDK's script, and its scenarios that are still to be run."""

    def __init__(self, environment: Environment, script: str, folder: Path) -> None:
        """`folder` takes its log, and is its home."""
        self._environment = environment
        self._script = AGENTS / script
        self._folder = folder
        self.log = folder / "log.txt"

    async def run(self, told: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        """What it says, scenario by scenario; one that hangs or kills the script says so itself."""
        left = list(told)
        while left:
            said_something = False
            async for said in self._launch(left):
                said_something = True
                left = [each for each in left if each["id"] != said["id"]]
                yield said
            if left:  # it hung or died in the first of these
                yield {"id": left[0]["id"], **_silence(self._last_words())}
                left = left[1:] if said_something or self.hung else []

    async def _launch(self, told: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        file = self._folder / "scenarios.json"
        file.write_text(json.dumps(told), "utf-8")
        self.hung = False
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._environment.command(self._script), cwd=self._folder, env=self._environ(file),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log, limit=_LINE_BYTES,
                start_new_session=True,
            )  # fmt: skip
        try:
            assert process.stdout is not None
            while line := (await asyncio.wait_for(self._marked(process.stdout), SCENARIO_LIMIT_S)):
                yield json.loads(line)
        except TimeoutError:
            self.hung = True
        finally:
            _end(process)
            await process.wait()

    @staticmethod
    async def _marked(stdout: asyncio.StreamReader) -> str:
        while line := (await stdout.readline()).decode(errors="replace"):
            if line.startswith(MARK):
                return line.removeprefix(MARK)
        return ""

    def _environ(self, scenarios: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        return {**kept, **_QUIET, "HOME": str(self._folder), "FAREBOX_SCENARIOS": str(scenarios)}

    def _last_words(self) -> str:
        if self.hung:
            return f"no answer within {SCENARIO_LIMIT_S:.0f} s"
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return lines[-1] if lines else "it ended without a word"


def _silence(words: str) -> dict[str, Any]:
    return {
        "answer": "", "input_tokens": None, "output_tokens": None, "chunks": 0, "tool_calls": 0, "seconds": 0.0,
        "error": {"type": "Silence", "message": words}, "silent": True,
    }  # fmt: skip


def _end(process: asyncio.subprocess.Process) -> None:
    """End what is left of it, and what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # all gone already
