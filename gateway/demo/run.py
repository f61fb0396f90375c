"""The demo from beginning to end: a folder, a gateway, the fleet, the books, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from gateway.demo import evidence
from gateway.demo.agents import FLEET
from gateway.demo.books import Books, compare
from gateway.demo.child import GatewayFailed, GatewayProcess, free_ports
from gateway.demo.fleet import Member, Pace, run_fleet
from gateway.demo.screen import WIDTH, Stage, show
from gateway.demo.settings import Ports, configuration, key_variable
from gateway.demo.summary import BudgetEnd, Outcome, as_json, print_summary
from gateway.demo.tally import Tally
from routing.money import NanoUsd

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Options(NamedTuple):
    """What the command line says."""

    seconds: float
    speed: float
    seed: int
    port: int = 0
    json: bool = False
    keep: Path | None = None


class DemoFailed(Exception):
    """There is nothing to show; the message says why."""


async def run(options: Options) -> bool:
    """Run the demo; whether the books match. Raises DemoFailed."""
    console = Console(quiet=options.json, highlight=False)
    if not console.is_terminal:
        console = Console(quiet=options.json, highlight=False, width=WIDTH)
    with _folder(options.keep) as folder:
        try:
            outcome = await _Demo(options, folder, console).play()
        except (GatewayFailed, OSError) as error:
            raise DemoFailed(str(error)) from None
    if options.json:
        print(json.dumps(as_json(outcome)))
    else:
        print_summary(console, outcome)
    return outcome.books.match


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the configuration and the journal live: a folder that vanishes, or an empty one that stays."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="farebox-demo-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise DemoFailed(f"{keep} is not empty; --keep wants a folder of its own.")
    except OSError as error:
        raise DemoFailed(f"{keep} cannot be used: {error.strerror or error}") from None
    yield keep.resolve()


class _Demo:
    def __init__(self, options: Options, folder: Path, console: Console) -> None:
        self._options = options
        self._folder = folder
        self._storage = folder / "state"
        self._console = console
        ports = free_ports(2)
        self._ports = Ports(options.port or ports[0], ports[1])
        self._keys = {role.name: f"fb-demo-{secrets.token_hex(16)}" for role in FLEET}
        self._tallies = {role.name: Tally(role.name, role.budget) for role in FLEET}
        self._stopping = asyncio.Event()

    async def play(self) -> Outcome:
        """Run it all. Raises GatewayFailed, OSError."""
        options = self._options
        config = self._folder / "config.yaml"
        config.write_text(
            configuration(FLEET, self._ports, storage="state", seed=options.seed, speed=options.speed), "utf-8"
        )
        secrets_by_variable = {key_variable(name): key for name, key in self._keys.items()}
        loop = asyncio.get_running_loop()
        with self._signals():
            gateway = GatewayProcess(config, self._ports.gateway, self._folder / "gateway.log", secrets_by_variable)
            async with gateway:
                await self._wait_for(gateway)
                started_s = loop.time()
                await self._act(gateway)
                seconds = loop.time() - started_s
                bill = await evidence.read_bill(self._simulator_url)
        books = compare(*evidence.read_journal(self._storage), bill, self._tallies)
        refused = sum(tally.refused_keys for tally in self._tallies.values())
        return Outcome(seconds, books, refused, options.keep, self._budgets(books))

    def _budgets(self, books: Books) -> dict[str, BudgetEnd]:
        spent = {account.agent: account.exact.journal + account.estimated.journal for account in books.accounts}
        return {
            name: BudgetEnd(tally.budget, NanoUsd(spent[name]), tally.denied)
            for name, tally in self._tallies.items()
            if tally.budget is not None
        }

    async def _wait_for(self, gateway: GatewayProcess) -> None:
        """Wait until both servers answer. Raises GatewayFailed, and DemoFailed when somebody stops it before that."""
        self._console.print("Starting a gateway and a simulated provider ...", style="dim")
        ready = asyncio.create_task(
            gateway.wait_until_ready(f"{self._gateway_url}/readyz", f"{self._simulator_url}/healthz")
        )
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise DemoFailed("stopped before the agents began.")
            await ready
        finally:
            ready.cancel()
            stopped.cancel()

    async def _act(self, gateway: GatewayProcess) -> None:
        """Let the agents work until the time is over, somebody stops them, or the gateway ends."""
        options = self._options
        stage = Stage(self._gateway_url, list(self._tallies.values()), options.seconds)
        timer = asyncio.get_running_loop().call_later(options.seconds, self._stopping.set)
        screen = asyncio.create_task(show(self._console, stage))
        guard = asyncio.create_task(self._watch(gateway))
        try:
            pace = Pace(options.speed, self._stopping)
            fleet = [Member(role, self._keys[role.name], self._tallies[role.name]) for role in FLEET]
            await run_fleet(fleet, f"{self._gateway_url}/v1", pace, options.seed)
        finally:
            timer.cancel()
            for task in (screen, guard):
                task.cancel()
            outcomes = await asyncio.gather(screen, guard, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _watch(self, gateway: GatewayProcess) -> None:
        """End the show when the gateway ends before it."""
        status = await gateway.wait()
        self._stopping.set()
        raise GatewayFailed(f"the gateway ended with status {status}. Its last words:\n{gateway.last_words()}")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal ends the show early, with its summary; the second one ends it at once."""
        loop = asyncio.get_running_loop()
        main = asyncio.current_task()

        def stop() -> None:
            if self._stopping.is_set() and main is not None:
                main.cancel()
            self._stopping.set()

        for number in _SIGNALS:
            loop.add_signal_handler(number, stop)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    @property
    def _gateway_url(self) -> str:
        return f"http://127.0.0.1:{self._ports.gateway}"

    @property
    def _simulator_url(self) -> str:
        return f"http://127.0.0.1:{self._ports.simulator}"
