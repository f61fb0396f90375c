import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from gateway.simulator.__main__ import main
from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.helpers import chat, connected, post, read_tokens


async def launch(*arguments: str) -> tuple[asyncio.subprocess.Process, SimpleNamespace]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.simulator", "--port", "0", "--speed", "0", *arguments, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    return process, SimpleNamespace(port=int(line.split("127.0.0.1:")[1].split("/")[0]))


async def test_sigterm_ends_it_cleanly() -> None:
    process, server = await launch("--seed", "3")
    try:
        answer = await post(server, chat(), x_sim_fault="slow;first_ms=1")
        assert answer.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0


async def test_sigterm_lets_answers_finish() -> None:
    process, server = await launch()
    try:
        async with connected(server, chat(stream=True, max_tokens=20), x_sim_fault="slow;token_ms=5") as (reader, _):
            await read_tokens(reader, 1)
            process.send_signal(signal.SIGTERM)
            assert b"[DONE]" in await reader.read()
    finally:
        await process.communicate()
    assert process.returncode == 0


async def test_resets_and_refusals_on_the_event_loop_that_it_really_runs_on() -> None:
    process, server = await launch()
    try:
        assert (await post(server, chat(), x_sim_fault="reset")).reset
        cut = await post(server, chat(stream=True), x_sim_fault="cut;after=10")
        assert cut.reset
        assert len(cut.chunks()) > 3  # what was written before the reset has come
        refuse = {"fault": "refuse", "for_s": 0.01}
        assert (await post(server, refuse, path="/sim/faults")).status == 200
        while True:
            try:
                assert (await post(server, chat())).status == 200
            except ConnectionRefusedError:
                await asyncio.sleep(0)
            else:
                break
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


async def test_the_bill_survives_kill_9(tmp_path: Path) -> None:
    file = tmp_path / "bill.jsonl"
    process, server = await launch("--bill", str(file))
    try:
        answer = await post(server, chat(), x_request_id="r-1")
    finally:
        process.kill()
        await process.communicate()
    [record] = [json.loads(line) for line in file.read_text().splitlines()]
    assert record["response_id"] == answer.json()["id"]
    assert record["caller_id"] == "r-1"


async def test_a_taken_port_is_an_error_message(sim: SimulatorServer) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.simulator", "--port", str(sim.port), stderr=subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"in use" in said
    assert b"Traceback" not in said


def test_wrong_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--speed", "-1"])
    assert "--speed" in capsys.readouterr().err


def test_unwritable_bill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "nowhere" / "bill.jsonl"
    assert main(["--port", "0", "--bill", str(missing)]) == 1
    assert "nowhere" in capsys.readouterr().err
    from gateway.cli.simulate import simulate

    app = typer.Typer()
    app.command()(simulate)
    result = CliRunner().invoke(app, ["--port", "0", "--bill", str(missing)])
    assert result.exit_code == 1
    assert "nowhere" in result.stderr
