"""Which way a provider is reached: by our own HTTP client, or, where its dialect says so, through the LiteLLM SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gateway.config.snapshot import Endpoint, Timeouts
from gateway.upstream.pool import Pool, PoolStats
from gateway.upstream.transport import Body, Call

if TYPE_CHECKING:
    from gateway.upstream.dialects.litellm_bridge.bridge import Bridge

_THROUGH_THE_SDK = "litellm"


class Switch:
    """Implements `gateway.upstream.transport.Transport`. Belongs to the running event loop.

    The bridge to the SDK is imported when the first endpoint needs it: most installations never do.
    """

    def __init__(self, make_bridge: Callable[[asyncio.AbstractEventLoop], Bridge] | None = None) -> None:
        """`make_bridge` is for those who want another way to the SDK."""
        self._make_bridge = make_bridge or _bridge
        self._pool = Pool()
        self._loop = asyncio.get_running_loop()
        self._bridge: Bridge | None = None

    def use(self, endpoints: Iterable[Endpoint]) -> None:
        """A configuration's endpoints: what they need is made ready."""
        needed = [endpoint for endpoint in endpoints if endpoint.dialect == _THROUGH_THE_SDK]
        if needed:
            self._ready().use(needed)

    def start(
        self,
        endpoint: Endpoint,
        method: bytes,
        path: bytes,
        headers: bytes,
        body: bytes | Body,
        *,
        timeouts: Timeouts | None = None,
    ) -> Call:
        """Begin a request; returns at once. See `Transport.start`."""
        if endpoint.dialect != _THROUGH_THE_SDK:
            return self._pool.start(endpoint, method, path, headers, body, timeouts=timeouts)
        assert isinstance(body, bytes), "its dialect knows no uploads"  # noqa: S101 -- guards a programming error
        return self._ready().start(endpoint, method, path, headers, body, timeouts=timeouts)

    def _ready(self) -> Bridge:
        if self._bridge is None:
            self._bridge = self._make_bridge(self._loop)
        return self._bridge

    def stats(self) -> PoolStats:
        """What the HTTP client's connections do right now."""
        return self._pool.stats()

    async def close(self) -> None:
        """Close all connections, the busy ones too. Later calls are refused."""
        await self._pool.close()
        if self._bridge is not None:
            await self._bridge.close()


def _bridge(loop: asyncio.AbstractEventLoop) -> Bridge:
    from gateway.upstream.dialects.litellm_bridge.bridge import Bridge

    return Bridge(loop)
