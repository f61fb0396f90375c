"""Starting and stopping what is measured: the upstreams, nginx as a plain proxy, the gateway."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.answers import PLAIN_MODEL, STREAM_MODEL, plain_answer
from benchmarks.tongues import NATIVE_MODEL

KEY = "fb-benchmark-key-that-opens-nothing"
KEY_VARIABLE = "FAREBOX_BENCH_KEY"

_ROOT = Path(__file__).resolve().parents[1]
_START_S = 60.0

_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_timeout 3600s;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {http}
}}
"""
_NGINX_ANSWER = """
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    default_type application/json;
    location / {{ return 200 '{answer}'; }}
  }}
"""
_NGINX_PROXY = """
  upstream {name} {{
    server 127.0.0.1:{upstream_port};
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://{name};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering {buffering};
    }}
  }}
"""
_GATEWAY = """
server: {{port: {port}}}
storage: {{dir: {storage}{store}}}
providers:
  plain: {{base_url: "http://127.0.0.1:{plain_port}/v1", proxy: none}}
  paced: {{base_url: "http://127.0.0.1:{stream_port}/v1", proxy: none}}
  versed: {{base_url: "http://127.0.0.1:{stream_port}/v1", proxy: none, natives: [messages, responses]}}
models:
  {plain_model}: {{provider: plain, model: fixed, price: {{input: "0.15", output: "0.60"}}}}
  {stream_model}: {{provider: paced, model: fixed, price: {{input: "0.15", output: "0.60"}}}}
  {native_model}: {{provider: versed, model: fixed, price: {{input: "0.15", output: "0.60"}}}}
agents:
  bench: {{}}
keys:
  bench: {{agent: bench, key: "${{{variable}}}"}}
"""
GOVERNED = """
budgets:
  everything: {scope: global, limit_usd: "1000000", window: month}
  the-org: {scope: "org:default", limit_usd: "1000000", window: month}
  the-team: {scope: "team:default", limit_usd: "1000000", window: week}
  the-agent: {scope: "agent:bench", limit_usd: "1000000", window: day}
  the-model: {scope: "model:bench", limit_usd: "1000000", window: day}
  the-provider: {scope: "provider:plain", limit_usd: "1000000", window: total}
limits:
  rates: {scope: "agent:bench", requests: 100_000_000/min, tokens: 100_000_000_000/min}
"""
"""Six enforced scopes and two rates on every plain request; none is ever reached."""


class StartError(Exception):
    """A server did not come up; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running process tree and where it listens."""

    pid: int
    plain_port: int
    stream_port: int
    start_s: float
    """From the spawn to the first 200 of its health check, or its first accepted connection."""


def free_port() -> int:
    """A port on loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def fixed_upstream(folder: Path, *, with_nginx: bool) -> Iterator[Server]:
    """A server that has one plain answer: nginx, or our own."""
    port = free_port()
    if not with_nginx:
        with paced_upstream(folder, events=4, interval_ms=0) as server:
            yield server
        return
    http_part = _NGINX_ANSWER.format(port=port, answer=plain_answer().decode())
    with _nginx(folder, "nginx-upstream", http_part, port) as (pid, start_s):
        yield Server(pid, port, port, start_s)


@contextlib.contextmanager
def paced_upstream(folder: Path, *, events: int, interval_ms: float) -> Iterator[Server]:
    """Our own server: streams of `events` events, `interval_ms` apart."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.upstream", "--port", str(port), "--events", str(events)]
    command += ["--interval-ms", str(interval_ms)]
    with _process(command, folder / f"upstream-{port}.log", lambda: accepts(port)) as (pid, start_s):
        yield Server(pid, port, port, start_s)


@contextlib.contextmanager
def nginx_proxy(folder: Path, plain_port: int, stream_port: int) -> Iterator[Server]:
    """nginx with one worker as a plain proxy for both upstreams: the anchor."""
    port, buffer_free_port = free_port(), free_port()
    http_part = _NGINX_PROXY.format(name="plain", port=port, upstream_port=plain_port, buffering="on")
    http_part += _NGINX_PROXY.format(name="paced", port=buffer_free_port, upstream_port=stream_port, buffering="off")
    with _nginx(folder, "nginx-proxy", http_part, port) as (pid, start_s):
        yield Server(pid, port, buffer_free_port, start_s)


@contextlib.contextmanager
def gateway(
    folder: Path,
    storage: Path,
    upstreams: tuple[int, int],
    *,
    store: str = "",
    rules: str = "",
    under: Sequence[str] = (),
) -> Iterator[Server]:
    """The gateway as people run it: identity, journal and metrics on.

    `upstreams`: the ports of the plain one and of the one that streams; `store`: more settings of its storage; `rules`:
    more sections of its configuration; `under`: a program that runs it.
    """
    port = free_port()
    config = folder / f"{storage.name}.yaml"
    config.write_text(
        _GATEWAY.format(
            port=port,
            storage=storage,
            store=store,
            plain_port=upstreams[0],
            stream_port=upstreams[1],
            plain_model=PLAIN_MODEL,
            stream_model=STREAM_MODEL,
            native_model=NATIVE_MODEL,
            variable=KEY_VARIABLE,
        )
        + rules
    )
    command = [*under, sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)]
    with _process(command, folder / f"{storage.name}.log", lambda: is_ready(port)) as (pid, start_s):
        yield Server(pid, port, port, start_s)


def _nginx(folder: Path, name: str, http_part: str, port: int) -> contextlib.AbstractContextManager[tuple[int, float]]:
    home = folder / name
    home.mkdir()
    config = home / "nginx.conf"
    config.write_text(_NGINX.format(folder=home, http=http_part))
    command = [shutil.which("nginx") or "nginx", "-p", str(home), "-c", str(config), "-e", "stderr"]
    return _process(command, folder / f"{name}.log", lambda: accepts(port))


@contextlib.contextmanager
def _process(command: list[str], log: Path, is_up: Callable[[], bool]) -> Iterator[tuple[int, float]]:
    """Run a command until the block ends. Yields its pid and how long it took to come up. Raises StartError."""
    began_s = time.perf_counter()
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=_ROOT, env=_environment()
        ) as process,
    ):
        try:
            while not is_up():
                if process.poll() is not None or time.perf_counter() - began_s > _START_S:
                    raise StartError(f"{' '.join(command)}\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.005)
            yield process.pid, time.perf_counter() - began_s
        finally:
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()


def _environment() -> dict[str, str]:
    """As it is, but a start compiles nothing that an earlier one did: installed packages are compiled, too."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
        KEY_VARIABLE: KEY
    }


def has_nginx() -> bool:
    """Whether nginx is installed."""
    return shutil.which("nginx") is not None


def accepts(port: int) -> bool:
    """Whether something listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_ready(port: int) -> bool:
    """Whether the gateway on a port says that it serves."""
    if not accepts(port):
        return False
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
