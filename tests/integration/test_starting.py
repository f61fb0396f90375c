"""Starts that must not succeed, and what tells why."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import App
from gateway.config import load
from gateway.config.problems import ConfigError
from tests.integration.conftest import StartGateway
from tests.integration.gateway import AGENT_KEYS, configuration

NOWHERE = "http://127.0.0.1:9/v1"


async def serve(folder: Path, config: dict[str, Any], *options: str, **variables: str) -> asyncio.subprocess.Process:
    file = folder / "config.yaml"
    file.write_text(json.dumps(config))
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", "serve", "-c", str(file), "--port", "0", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **AGENT_KEYS, **variables},
    )  # fmt: skip


def without_keys(folder: Path) -> dict[str, Any]:
    return configuration(NOWHERE, folder, keys={}, auth=False, anonymous_agent="tester")


async def test_the_command_line_cannot_open_a_gateway_without_auth_to_others(tmp_path: Path) -> None:
    process = await serve(tmp_path, without_keys(tmp_path), "--host", "0.0.0.0")
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"loopback" in said
    assert b"Traceback" not in said


async def test_a_reload_cannot_either(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(configuration(NOWHERE, tmp_path)))
    app = await App.start(load(file, AGENT_KEYS), host="0.0.0.0", port=0)
    try:
        file.write_text(json.dumps(without_keys(tmp_path)))  # its server.host is 127.0.0.1
        await app.reload()
        async with httpx.AsyncClient() as client:
            url = app.url.replace("0.0.0.0", "127.0.0.1")
            assert (await client.get(f"{url}/v1/models")).status_code == 401
            ready = (await client.get(f"{url}/readyz")).json()
        assert ready["config"] == "stale"
    finally:
        await app.stop()


async def test_without_auth_on_loopback_everybody_is_the_anonymous_agent(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(NOWHERE, keys={}, auth=False, anonymous_agent="tester")
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{gateway.url}/v1/me")).json()["agent"] == "tester"


async def test_app_refuses_before_it_listens(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(without_keys(tmp_path)))
    with pytest.raises(ConfigError, match="loopback"):
        await App.start(load(file, AGENT_KEYS), host="0.0.0.0", port=0)


async def test_a_journal_that_cannot_be_opened_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no directory")
    process = await serve(tmp_path, configuration(NOWHERE, tmp_path))
    _, said = await process.communicate()
    assert process.returncode == 1
    assert said.startswith(b"farebox: ")
    assert b"Traceback" not in said


async def test_without_its_postgresql_a_gateway_says_so_and_ends(tmp_path: Path) -> None:
    """Nothing that costs money may be let in without a journal; who starts it tries again, as systemd does."""
    urls = {"valkey_url": "${VALKEY_URL}", "journal_url": "${JOURNAL_URL}"}
    config = configuration(NOWHERE, tmp_path, storage={"store": "valkey", "dir": str(tmp_path), **urls})
    journal_url = "postgresql://farebox:not-a-secret@127.0.0.1:9/books"
    process = await serve(tmp_path, config, VALKEY_URL="valkey://127.0.0.1:9", JOURNAL_URL=journal_url)
    async with asyncio.timeout(20):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.startswith(b"farebox: the journal at 127.0.0.1:9/books cannot be opened: ")
    assert (b"refused" in said, b"Traceback" in said, b"not-a-secret" in said) == (True, False, False)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at the process through /proc")
async def test_a_hang_up_while_starting_does_not_end_it(tmp_path: Path) -> None:
    process = await serve(tmp_path, configuration(NOWHERE, tmp_path))
    assert process.stdout is not None
    while not _ignores_hang_ups(process.pid):
        await asyncio.sleep(0)
    process.send_signal(signal.SIGHUP)
    greeting = await process.stdout.readline()
    process.terminate()
    await process.communicate()
    assert b"Farebox serves" in greeting
    assert process.returncode == 0


def _ignores_hang_ups(pid: int) -> bool:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    bit = 1 << (signal.SIGHUP - 1)
    assert not int(status["SigCgt"], 16) & bit, "it serves already, and a hang-up would have ended it until now"
    return bool(int(status["SigIgn"], 16) & bit)
