"""The gateway as people run it: `farebox serve` as a process, with the shipped kind of configuration."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.gateway import AGENT_KEYS, TESTER_KEY, configuration
from tests.integration.upstream import Exchange, Upstream

CHECKOUT = Path(__file__).parents[2]
ASK = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]}
AUTH = {"authorization": f"Bearer {TESTER_KEY}"}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Process:
    """`farebox serve` in a folder of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, greeting: str) -> None:
        self.process = process
        self.url = url
        self.greeting = greeting

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Signal it, wait for its end: the exit status and all it has logged."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        _, logged = await self.process.communicate()
        return self.process.returncode or 0, logged.decode()


class Starter:
    """Starts processes and sees to their end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[Process] = []

    async def __call__(self, config: dict[str, Any], **environ: str) -> Process:
        file = self.folder / "config.yaml"
        file.write_text(json.dumps(config))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", "serve", "--config", str(file), "--port", "0",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **AGENT_KEYS, **environ},
        )  # fmt: skip
        assert process.stdout is not None
        greeting = (await process.stdout.readline()).decode()
        found = re.search(r"http://\S+(?=/v1)", greeting)
        if found is None:
            _, logged = await process.communicate()
            raise AssertionError(f"it did not start: {greeting}{logged.decode()}")
        running = Process(process, found.group(), greeting)
        self._running.append(running)
        return running

    async def stop(self) -> None:
        for running in self._running:
            await running.stop(signal.SIGKILL)


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    await starter.stop()


async def test_the_first_start_prints_a_curl_that_works(serve: Starter, tmp_path: Path) -> None:
    config = configuration(f"http://127.0.0.1:{(port := free_port())}/v1", tmp_path, keys={})
    config["simulator"] = {"enabled": True, "port": port, "speed": 0}
    first = await serve(config)
    assert first.process.stdout is not None
    lines = [(await first.process.stdout.readline()).decode() for _ in range(8)]
    curl = "".join(line for line in lines[3:]).replace("\\\n", " ")
    assert curl.strip().startswith("curl ")
    asked = await asyncio.create_subprocess_exec(*shlex.split(curl), "-s", stdout=asyncio.subprocess.PIPE)
    heard, _ = await asked.communicate()
    assert json.loads(heard)["usage"]["prompt_tokens"] > 0
    status, logged = await first.stop()
    assert status == 0, logged
    second = await serve(config)
    await second.stop()
    assert second.process.stdout is not None
    assert b"curl" not in await second.process.stdout.read(), "the key is printed once"


async def test_sigterm_lets_streams_end_and_loses_nothing(serve: Starter, tmp_path: Path) -> None:
    begun, stopping = asyncio.Event(), asyncio.Event()
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    last = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    usage = (
        b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\ndata: [DONE]\n\n'
    )

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(chunk)
        begun.set()
        await stopping.wait()
        await exchange.chunk(chunk + last + usage)
        await exchange.chunk(b"")

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        running = await serve(configuration(upstream.base_url, tmp_path))
        asking = asyncio.create_task(
            client.post(f"{running.url}/v1/chat/completions", headers=AUTH, json={**ASK, "stream": True}, timeout=30)
        )
        await begun.wait()
        running.process.send_signal(signal.SIGTERM)
        await _refuses(running.url)  # it listens no more, and waits for its stream
        stopping.set()
        answer = await asking
        assert answer.text.endswith("data: [DONE]\n\n")
        _, logged = await running.process.communicate()
    assert running.process.returncode == 0, logged.decode()
    [charge] = _rows(tmp_path, "charges")
    [request] = _rows(tmp_path, "requests")
    assert (charge["outcome"], charge["output_tokens"], request["outcome"]) == ("ok", 2, "ok")


async def test_a_drain_ends_in_bounded_time_and_charges_what_it_cuts(serve: Starter, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n')
        begun.set()
        await exchange.client_left()

    async with Upstream(script) as upstream, httpx.AsyncClient() as client:
        running = await serve(configuration(upstream.base_url, tmp_path, server={"drain_s": 0.3}))
        asking = asyncio.create_task(
            client.post(f"{running.url}/v1/chat/completions", headers=AUTH, json={**ASK, "stream": True}, timeout=30)
        )
        await begun.wait()
        status, logged = await running.stop()
        answer = await asking
    assert status == 0, logged
    assert '"code":"service_unavailable"' in answer.text
    assert "[DONE]" not in answer.text
    [charge] = _rows(tmp_path, "charges")
    [request] = _rows(tmp_path, "requests")
    assert (charge["outcome"], charge["estimated"], request["outcome"]) == ("drained", 1, "drained")


async def test_litellm_is_not_imported_for_the_openai_wire(serve: Starter, tmp_path: Path) -> None:
    """Importing it takes seconds and 160 MB. The process itself tells what it has imported."""
    report = tmp_path / "modules.txt"
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import atexit, os, sys\n"
        "report = f\"{os.environ['MODULES']}.{os.getpid()}\"\n"
        "atexit.register(lambda: open(report, 'w').write('\\n'.join(sys.modules)))\n"
    )
    config = configuration(f"http://127.0.0.1:{(port := free_port())}/v1", tmp_path)
    config["simulator"] = {"enabled": True, "port": port, "speed": 0}
    path = os.pathsep.join([str(site), str(CHECKOUT)])
    running = await serve(config, MODULES=str(report), PYTHONPATH=path)
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{running.url}/v1/chat/completions", headers=AUTH, json=ASK, timeout=30)
    assert answer.status_code == 200, answer.text
    await running.stop()
    modules = set(Path(f"{report}.{running.process.pid}").read_text().split())
    assert "gateway.exchange" in modules
    assert not {"litellm", "genai_prices", "fastapi"} & modules


async def test_the_simulator_does_not_outlive_a_killed_gateway(serve: Starter, tmp_path: Path) -> None:
    config = configuration(f"http://127.0.0.1:{(port := free_port())}/v1", tmp_path)
    config["simulator"] = {"enabled": True, "port": port, "speed": 0}
    running = await serve(config)
    await running.stop(signal.SIGKILL)
    await _refuses(f"http://127.0.0.1:{port}")


async def test_a_taken_port_is_told(serve: Starter, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = configuration("http://127.0.0.1:9/v1", tmp_path)
        file = tmp_path / "config.yaml"
        file.write_text(json.dumps(config))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", "serve", "-c", str(file), "--port", str(taken.getsockname()[1]),
            stderr=asyncio.subprocess.PIPE, env={**os.environ, **AGENT_KEYS},
        )  # fmt: skip
        _, logged = await process.communicate()
    assert process.returncode == 1
    assert b"--port" in logged
    assert b"Traceback" not in logged


async def test_sighup_and_the_watch_reload_and_a_bad_file_does_not(serve: Starter, tmp_path: Path) -> None:
    config = configuration("http://127.0.0.1:9/v1", tmp_path)
    running = await serve(config)
    file = tmp_path / "config.yaml"
    async with httpx.AsyncClient(base_url=running.url) as client:
        config["models"]["brand-new"] = {**config["models"]["sim-small"], "model": "x"}
        file.write_text(json.dumps(config))
        await _until(client, lambda ready: ready["config_version"] >= 2)
        listed = await client.get("/v1/models", headers=AUTH)
        assert "brand-new" in [model["id"] for model in listed.json()["data"]]
        file.write_text('{"modles": {}}')
        ready = await _until(client, lambda ready: ready["config"] == "stale")
        assert "models" in ready["config_error"], "the nearest valid key is named"
        assert (await client.get("/v1/models", headers=AUTH)).json() == listed.json(), "the old configuration rules on"
        assert "farebox_config_stale 1.0" in (await client.get("/metrics")).text
        file.write_text(json.dumps(config))
        running.process.send_signal(signal.SIGHUP)
        await _until(client, lambda ready: ready["config"] == "current")


async def _until(client: httpx.AsyncClient, satisfied: Any) -> dict[str, Any]:
    """Ask /readyz until it says so."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.get("/readyz")
            assert answer.status_code == 200, "a stale configuration still serves"
            if satisfied(answer.json()):
                return dict(answer.json())
            await asyncio.sleep(0.02)


async def _refuses(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.02)


def _rows(folder: Path, table: str) -> list[dict[str, Any]]:
    import sqlite3

    database = sqlite3.connect(folder / "state" / "journal.db")
    database.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]
    finally:
        database.close()


async def test_a_taken_simulator_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = configuration(f"http://127.0.0.1:{port}/v1", tmp_path)
        config["simulator"] = {"enabled": True, "port": port}
        file = tmp_path / "config.yaml"
        file.write_text(json.dumps(config))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", "serve", "-c", str(file), "--port", "0",
            stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={**os.environ, **AGENT_KEYS},
        )  # fmt: skip
        printed, logged = await process.communicate()
    assert process.returncode == 1
    assert b"simulator.port" in logged
    assert b"Farebox serves" not in printed
