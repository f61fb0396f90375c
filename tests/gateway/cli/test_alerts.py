"""`farebox alerts test` against a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.alerts import alerts
from tests.gateway.alerting.receiver import Receiver, receiving

CONFIG = """\
agents: {dev: {}}
alerts:
  sinks:
    ops: {type: slack, url: "${OPS_URL}"}
    pager: {type: webhook, url: "${PAGER_URL}"}
    log: {type: log}
"""


class Server:
    """A receiver in a loop of its own: the command has its own, too."""

    def __init__(self, *statuses: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._statuses = statuses
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self.receiver = Receiver()
        self._thread.start()
        assert self._ready.wait(20)

    async def _run(self) -> None:
        async with receiving(self._statuses) as self.receiver:
            self._ready.set()
            await self._over.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.run_until_complete(self._rest())
        self._loop.close()

    async def _rest(self) -> None:
        rest = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


@pytest.fixture
def ops() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def pager() -> Iterator[Server]:
    server = Server(403)
    yield server
    server.close()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ops: Server, pager: Server) -> Path:
    monkeypatch.setenv("OPS_URL", ops.receiver.url)
    monkeypatch.setenv("PAGER_URL", pager.receiver.url)
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(alerts, ["test", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_each_sink_is_tried_and_told_of(config: Path, ops: Server) -> None:
    code, out, err = run("--config", config)
    assert code == 1
    assert out == "ops (slack): sent\nlog (log): sent\n"
    assert "pager (webhook): not sent: status 403\n" in err
    assert "s3cret" not in out + err
    (posted,) = ops.receiver.posted
    assert posted.body["text"] == "*Test alert of Farebox*"


def test_one_sink(config: Path, pager: Server) -> None:
    assert run("--config", config, "--sink", "ops")[:2] == (0, "ops (slack): sent\n")
    assert not pager.receiver.posted


def test_a_sink_that_is_not_there(config: Path) -> None:
    code, _, err = run("--config", config, "--sink", "opps")
    assert code == 2
    assert "there is no sink `opps`" in err
    config.write_text("agents: {dev: {}}\n")
    assert run("--config", config)[0] == 2
