"""What governing costs: CPU per plain request with six enforced scopes and two rates, strict, less that without any.

Both gateways run at the same time on the same kind of store and take turns, round by round, so that a busy machine
slows both.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.measure import Plan, plain_rounds
from benchmarks.servers import GOVERNED, Server
from benchmarks.stores import Shared, shared_stores

CONNECTIONS = 16
_KINDS = {"ungoverned": "", "governed": GOVERNED}


def measure(store: str, plan: Plan, generator: str, tick: Callable[[], None]) -> dict[str, Any]:
    """The figures of one store. Raises StartError and LoadError."""
    with tempfile.TemporaryDirectory(prefix="farebox-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        fixed = stack.enter_context(servers.fixed_upstream(folder, with_nginx=servers.has_nginx()))
        targets = stack.enter_context(_gateways(store, folder, fixed.plain_port))
        found = plain_rounds(targets, CONNECTIONS, plan, generator, tick)
    governed, ungoverned = found["governed"], found["ungoverned"]
    return {
        "cpu_us": round(governed.cpu_us - ungoverned.cpu_us, 1),
        "governed_cpu_us": round(governed.cpu_us, 1),
        "ungoverned_cpu_us": round(ungoverned.cpu_us, 1),
        "added_p50_us": round(governed.p50_us - ungoverned.p50_us),
        "added_p99_us": round(governed.p99_us - ungoverned.p99_us),
    }


@contextlib.contextmanager
def _gateways(store: str, folder: Path, plain_port: int) -> Iterator[dict[str, Server]]:
    with contextlib.ExitStack() as stack:
        shared: tuple[Shared | None, ...] = (None, None)
        if store == "valkey":
            shared = stack.enter_context(shared_stores(*_KINDS))
        yield {
            name: stack.enter_context(
                servers.gateway(folder, folder / name, (plain_port, plain_port), store=_storage(where), rules=rules)
            )
            for (name, rules), where in zip(_KINDS.items(), shared, strict=True)
        }


def _storage(shared: Shared | None) -> str:
    if shared is None:
        return ""
    urls = (
        f'valkey_url: "${{BENCH_VALKEY:-{shared.valkey_url}}}", journal_url: "${{BENCH_JOURNAL:-{shared.journal_url}}}"'
    )
    return f", store: valkey, {urls}"
