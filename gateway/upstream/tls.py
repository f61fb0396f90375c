"""TLS contexts: loaded when first needed, off the loop, and kept.

Reading the system's trust store takes tens of milliseconds, so neither start-up nor the loop pays for it. A private CA
*replaces* the system's store: an endpoint with a CA of its own trusts that one and no public authority.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from gateway.upstream.transport import Unreachable

_Key = tuple[Path | None, int, bool]


class TlsContexts:
    """All contexts of a process, by CA file, verification and the file's modification time: a renewed file counts."""

    def __init__(self) -> None:
        self._contexts: dict[_Key, asyncio.Future[ssl.SSLContext]] = {}

    async def get(self, ca_file: Path | None, *, verify: bool) -> ssl.SSLContext:
        """The context for connections that trust `ca_file`, or the system's store when None. Raises Unreachable."""
        try:
            key = (ca_file, _modified_ns(ca_file), verify)
            loading = self._contexts.get(key)
            if loading is None:
                loading = asyncio.get_running_loop().run_in_executor(None, _load, ca_file, verify)
                self._contexts[key] = loading
                loading.add_done_callback(lambda done: self._loaded(key, done))
            # Shielded: one opening that is cancelled must not take the context from the others.
            return await asyncio.shield(loading)
        except OSError as error:
            problem = "holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise Unreachable(f"ca_file {ca_file}: {problem}", sent=False) from error

    def _loaded(self, key: _Key, done: asyncio.Future[ssl.SSLContext]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._contexts.pop(key, None)
            return
        for old in [other for other in self._contexts if other[0] == key[0] and other[1] != key[1]]:
            del self._contexts[old]


def _modified_ns(ca_file: Path | None) -> int:
    return ca_file.stat().st_mtime_ns if ca_file is not None else 0


def _load(ca_file: Path | None, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
