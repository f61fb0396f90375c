"""The way to the providers that the LiteLLM SDK translates for: behind the same seam as the HTTP client."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.config.snapshot import Endpoint, Timeouts
from gateway.upstream.dialects.litellm import CLIENTS, NAME, Order
from gateway.upstream.dialects.litellm_bridge.call import BridgeCall
from gateway.upstream.transport import Aborted, Unreachable

if TYPE_CHECKING:  # these import httpx, and are imported where the SDK is
    from gateway.upstream.dialects.litellm_bridge.network import Watch
    from gateway.upstream.dialects.litellm_bridge.sdk import Sdk

log = logging.getLogger("farebox.litellm")

CLOSE_S = 5.0
"""How long closing waits for the SDK's thread. What is still at work then ends with the process."""

_order = msgspec.json.Decoder(Order)


class Bridge:
    """Implements `gateway.upstream.transport.Transport` for endpoints of the dialect `litellm`.

    Nothing is imported before `use` is given such an endpoint, or a call needs it; then a thread does it, and calls
    wait, each at most its connect time-out.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, *, load: Callable[[], Sdk] | None = None) -> None:
        """`load` is called in the thread, and imports the SDK unless told otherwise."""
        self._loop = loop or asyncio.get_running_loop()
        self._load_sdk = load or _load
        self._calls: set[BridgeCall] = set()
        """All that are not finished."""
        self._waiting: dict[BridgeCall, tuple[str, Order]] = {}
        """Those for which the SDK is not there yet."""
        self._thread: threading.Thread | None = None
        self._worker_loop: asyncio.AbstractEventLoop | None = None
        """The thread's; None before the SDK is loaded."""
        self._sdk: Sdk | None = None
        self._problem: str | None = None
        """Why the SDK could not be loaded."""
        self._closed = False

    @property
    def loaded(self) -> bool:
        """Whether the SDK is there."""
        return self._sdk is not None

    def use(self, endpoints: Iterable[Endpoint]) -> None:
        """A configuration's endpoints: load the SDK if one needs it, again if that failed before."""
        needed = [endpoint for endpoint in endpoints if endpoint.dialect == NAME]
        for endpoint in needed:
            _check_client(endpoint)
        if needed:
            self._load()

    def start(
        self,
        endpoint: Endpoint,
        method: bytes,
        path: bytes,
        headers: bytes,
        body: bytes,
        *,
        timeouts: Timeouts | None = None,
    ) -> BridgeCall:
        """Begin a call; returns at once. `path` names the function and `body` is the `Order`; nothing else counts."""
        call = BridgeCall(self._loop, endpoint, timeouts or endpoint.timeouts, self._ended)
        self._calls.add(call)
        order = _order.decode(body)
        sdk = endpoint.litellm
        if sdk is not None:
            order.arguments.update(msgspec.json.decode(sdk.params))
        if endpoint.headers:
            order.arguments["extra_headers"] = dict(endpoint.headers)
        if self._closed or self._problem is not None:
            call.failed(Unreachable(self._problem or "the transport is closed", sent=False))
        elif self._sdk is None:
            self._waiting[call] = (path.decode(), order)
            self._load()
        else:
            self._begin(call, path.decode(), order)
        return call

    async def close(self) -> None:
        """Break off all calls and end the thread. Later calls are refused."""
        self._closed = True
        for call in list(self._calls):
            call.failed(Aborted("the transport was closed", sent=call.sent))
        loop, thread = self._worker_loop, self._thread
        self._worker_loop = self._sdk = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            await asyncio.to_thread(thread.join, CLOSE_S)

    # --- on the gateway's loop ---

    def _ended(self, call: BridgeCall) -> None:
        self._calls.discard(call)
        self._waiting.pop(call, None)

    def _begin(self, call: BridgeCall, function: str, order: Order) -> None:
        from gateway.upstream.dialects.litellm_bridge.network import Watch
        from gateway.upstream.dialects.litellm_bridge.worker import Worker

        loop, sdk = self._worker_loop, self._sdk
        assert loop is not None and sdk is not None, "calls begin when the SDK is loaded"  # noqa: S101, PT018 -- as it says
        watch = Watch(call.endpoint, call.timeouts.connect_s, call.line.moved)
        if not order.stream:
            watch.max_bytes = call.endpoint.max_response_bytes
        running = _Running(loop, Worker(sdk, function, order, watch, call.line), watch)
        call.begun(watch, running.stop)
        loop.call_soon_threadsafe(running.start)

    def _loaded(self, sdk: Sdk, loop: asyncio.AbstractEventLoop, took_s: float) -> None:
        log.info("the LiteLLM SDK is loaded, in %.1f s", took_s)
        if self._closed:
            loop.call_soon_threadsafe(loop.stop)
            return
        self._sdk, self._worker_loop = sdk, loop
        waiting = list(self._waiting.items())
        self._waiting.clear()
        for call, (function, order) in waiting:
            self._begin(call, function, order)

    def _failed(self, error: BaseException) -> None:
        self._problem = f"the LiteLLM SDK cannot be loaded: {type(error).__name__}: {error}"
        self._thread = None
        log.error("%s; its providers cannot be called", self._problem)
        for call in list(self._waiting):
            call.failed(Unreachable(self._problem, sent=False))

    def _load(self) -> None:
        if self._thread is None and not self._closed:
            self._problem = None
            self._thread = threading.Thread(target=self._work, name="farebox-litellm", daemon=True)
            self._thread.start()

    # --- in the thread ---

    def _work(self) -> None:
        started_s = time.monotonic()
        try:
            sdk = self._load_sdk()
        except BaseException as error:  # noqa: BLE001 -- the edge of a thread: it is told, whatever it is
            self._tell(self._failed, error)
            return
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            loop = runner.get_loop()
            if self._tell(self._loaded, sdk, loop, time.monotonic() - started_s):
                loop.run_forever()
                loop.run_until_complete(sdk.close())

    def _tell(self, function: Any, *arguments: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the gateway's loop has ended in the meantime
            return False
        return True


def _check_client(endpoint: Endpoint) -> None:
    """Say what is missing: the SDK finds out at the first call, and says it to nobody."""
    provider = "" if endpoint.litellm is None else endpoint.litellm.provider
    for prefix, (module, extra) in CLIENTS.items():
        if provider.startswith(prefix) and not _is_installed(module):
            name = module.replace(".", "-")
            log.warning(
                "provider %s needs %s, which is not installed: pip install '%s'", endpoint.provider, name, extra
            )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it lies in
        return False


def _load() -> Sdk:
    from gateway.upstream.dialects.litellm_bridge.sdk import load

    return load()


class _Running:
    """A worker's task in the thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, worker: Any, watch: Watch) -> None:
        self._loop = loop
        self._worker = worker
        self._watch = watch
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. In the thread."""
        if not self._watch.given_up:
            self._task = self._loop.create_task(self._worker.run())

    def stop(self) -> None:
        """End it. On the gateway's loop."""
        self._watch.given_up = True
        try:
            self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:  # the thread has ended
            pass

    def _cancel(self) -> None:
        """What was not sent yet ends by itself, without ever being sent: the SDK may be at work in a thread of its own,
        and would leave things lying about."""
        if self._task is not None and self._watch.sent_s is not None:
            self._task.cancel()
