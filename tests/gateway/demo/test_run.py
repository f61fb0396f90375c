"""The demo as people run it: one command, then nothing is left but its words."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import app


async def start(tmp_path: Path, *options: str) -> asyncio.subprocess.Process:
    (tmp_path / "temporary").mkdir(exist_ok=True)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", "demo", "--speed", "50", *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # A proxy of the environment must not get between the demo's own processes.
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary"), "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""},
    )  # fmt: skip


async def finish(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def left_behind(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "temporary").iterdir())


async def test_the_books_match_and_nothing_is_left(tmp_path: Path) -> None:
    status, out, err = await finish(await start(tmp_path, "--seconds", "6", "--json"))  # the rogue hangs up after three
    assert (status, err) == (0, "")
    result: dict[str, Any] = json.loads(out)
    assert result["match"] is True
    agents = result["agents"]
    assert list(agents) == ["researcher", "coder", "support", "rogue"]
    for account in agents.values():
        assert account["requests"] > 0
        assert account["exact"]["difference_usd"] == "0.00"
        assert account["exact"]["journal_usd"] != "0.00"
    assert agents["rogue"]["errors"] > 0
    assert agents["rogue"]["estimates"] > 0
    budget = result["budgets"]["rogue"]
    assert 0 < float(budget["spent_usd"]) <= float(budget["limit_usd"]) == 0.01
    assert result["refused_keys"] == 1
    assert left_behind(tmp_path) == []


async def test_what_is_kept_can_be_looked_at(tmp_path: Path) -> None:
    status, out, _ = await finish(await start(tmp_path, "--seconds", "1", "--keep", str(tmp_path / "kept")))
    assert status == 0
    assert "agrees with the provider's own bill" in out
    assert {path.name for path in (tmp_path / "kept").iterdir()} >= {"config.yaml", "state", "gateway.log"}
    assert f"sqlite3 -box {tmp_path / 'kept'}/state/journal.db" in out
    assert "fb-demo-" not in (tmp_path / "kept" / "config.yaml").read_text("utf-8")
    status, _, err = await finish(await start(tmp_path, "--keep", str(tmp_path / "kept")))
    assert status == 1
    assert "is not empty" in err


async def test_a_signal_ends_it_early_and_cleanly(tmp_path: Path) -> None:
    process = await start(tmp_path, "--seconds", "3000")
    assert process.stdout is not None
    first = await process.stdout.readuntil(b"\n")
    assert first.startswith(b"Starting")
    await process.stdout.readuntil(b"At work on ")
    process.send_signal(signal.SIGINT)
    status, out, _ = await finish(process)
    assert status == 0
    assert "The books after" in out
    assert left_behind(tmp_path) == []


async def test_stopped_before_it_began_there_are_no_books(tmp_path: Path) -> None:
    process = await start(tmp_path)
    assert process.stdout is not None
    await process.stdout.readuntil(b"\n")
    process.send_signal(signal.SIGTERM)
    status, out, err = await finish(process)
    assert status == 1
    assert out == ""
    assert "stopped before the agents began" in err
    assert left_behind(tmp_path) == []


async def test_a_taken_port_is_said(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        status, _, err = await finish(await start(tmp_path, "--port", str(port), "--json"))
    assert status == 1
    assert f"127.0.0.1:{port}" in err
    assert "Traceback" not in err
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("options", [["--seconds", "0"], ["--speed", "0"], ["--port", "70000"]])
def test_nonsense_is_refused(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["demo", *options])
    assert result.exit_code == 2
    assert options[0] in result.stderr
