"""A gateway as a process: the simulator beside it, the words it prints, the signals it obeys, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from typing import NamedTuple

from gateway.app import App
from gateway.config.left_out import sum_up
from gateway.config.problems import ConfigError
from gateway.config.snapshot import SimulatorSettings, Snapshot
from gateway.journal.database import JournalError

log = logging.getLogger("farebox.serving")

SIMULATOR_START_S = 10.0
SIMULATOR_STOP_S = 5.0
_COLLECT_AT = (10_000, 20, 20)
"""For `gc.set_threshold`."""


class Options(NamedTuple):
    """What the command line says over the configuration."""

    host: str | None = None
    port: int | None = None
    access_log: bool = False


async def run(snapshot: Snapshot, options: Options) -> int:
    """Serve until SIGTERM or SIGINT; the exit status. A second signal ends the drain at once."""
    stopping, hurry = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (hurry if stopping.is_set() else stopping).set()

    for line in (sum_up(snapshot.left_out), *snapshot.warnings):
        if line is not None:
            log.info("%s", line)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    simulator = await _start_simulator(snapshot.simulator) if snapshot.simulator.enabled else None
    try:
        app = await _start_app(snapshot, options)
        if app is None:
            return 1
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(app.reload()))
        if simulator is not None and not await _simulator_serves(snapshot.simulator, simulator):
            if app.development_key is not None:
                print(f"The development key was made all the same; it is shown this once: {app.development_key}")
            await app.stop()
            return 1
        _spare_the_collector()
        _greet(app, snapshot)
        watching = None if simulator is None else asyncio.create_task(_watch_simulator(simulator))
        await stopping.wait()
        if watching is not None:
            watching.cancel()
        log.info("stopping; waiting for %d requests, at most %g s", app.active, snapshot.server.drain_s)
        await app.stop(hurry)
    except JournalError as error:  # rows that could not be written to the very end
        log.error("%s", error)  # noqa: TRY400 -- no defect of ours
        return 1
    finally:
        if simulator is not None:
            await _stop_simulator(simulator)
    return 0


async def _start_app(snapshot: Snapshot, options: Options) -> App | None:
    try:
        return await App.start(
            snapshot,
            host=options.host or snapshot.server.host,
            port=snapshot.server.port if options.port is None else options.port,
            access_log=options.access_log,
        )
    except OSError as error:
        host, port = options.host or snapshot.server.host, options.port or snapshot.server.port
        print(
            f"farebox: cannot serve on {host}:{port}: {error.strerror or error}. "
            "Choose another port with --port or server.port, or stop what uses this one.",
            file=sys.stderr,
        )
    except (ConfigError, JournalError) as error:
        print(f"farebox: {error}", file=sys.stderr)
    return None


async def _start_simulator(settings: SimulatorSettings) -> asyncio.subprocess.Process:
    """Start the simulated provider. It lives no longer than we do: it stops when its standard input ends."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.simulator",
        "--host", settings.host, "--port", str(settings.port), "--seed", str(settings.seed),
        "--speed", str(settings.speed), "--while-stdin",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the gateway; it stops the simulator after its own drain
    )  # fmt: skip


async def _simulator_serves(settings: SimulatorSettings, process: asyncio.subprocess.Process) -> bool:
    """Wait until the simulator says that it listens. Asking its port would not do: another program may answer there."""
    assert process.stdout is not None, "it was started with a pipe"  # noqa: S101 -- guards a programming error
    try:
        async with asyncio.timeout(SIMULATOR_START_S):
            line = await process.stdout.readline()
    except TimeoutError:
        line = b""
    if line:
        return True
    print(
        f"farebox: the simulated provider cannot serve on {settings.host}:{settings.port}. Choose another "
        "simulator.port (and the same one in its provider's base_url), or stop what uses this one.",
        file=sys.stderr,
    )
    return False


async def _watch_simulator(process: asyncio.subprocess.Process) -> None:
    status = await process.wait()
    log.error("the simulated provider has ended (status %s); calls to its models fail until a restart", status)


async def _stop_simulator(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), SIMULATOR_STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _spare_the_collector() -> None:
    """What was made until now lives as long as the process: no collection has to walk it ever again.

    What a request makes is freed without the collector, which is to look only now and then: every 700 objects, as it
    does by default, it would walk all that waits for the journal several times.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AT)


def _greet(app: App, snapshot: Snapshot) -> None:
    """What a person sees: where it serves, and, the first time, a key inside a command that works."""
    lines = [f"Farebox serves {snapshot.source} on {app.url}/v1"]
    simulator = snapshot.simulator
    if simulator.enabled:
        lines.append(f"  with a simulated provider on http://{simulator.host}:{simulator.port}/v1")
    if app.development_key is not None:
        model = app.example_model()
        lines += [
            "",
            "A development key was made. It is shown this once (`farebox keys` manages keys):",
            "",
            f"  curl {app.url}/v1/chat/completions \\",
            f"    -H 'Authorization: Bearer {app.development_key}' \\",
            "    -H 'Content-Type: application/json' \\",
            f"""    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'""",
            "",
        ]
    print("\n".join(lines), flush=True)
