"""The README and the how-to pages against reality: what they tell people to write, type and read."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import click
import pytest
import typer
import yaml

from gateway.cli import app
from gateway.config import load
from gateway.journal.database import FILE_NAME
from tests.documents import PAGES, ROOT, Block, blocks, commands

README = ROOT / "README.md"
_PRICED: dict[str, Any] = {"provider": "simulator", "price": {"input": "1", "output": "1"}}
BASE: dict[str, dict[str, Any]] = {
    "providers": {
        "simulator": {"base_url": "http://127.0.0.1:4010/v1"},
        "vllm": {"base_url": "http://127.0.0.1:8000/v1"},
    },
    "teams": {"research": {}, "support": {}},
    "models": {"sim-small": _PRICED, "sim-embed": _PRICED},
    "agents": {"dev": {}},
}
"""What an example may take for granted."""
_URLS = {
    "VALKEY_URL": "valkey://127.0.0.1:6379/0",
    "DATABASE_URL": "postgresql://farebox@127.0.0.1/farebox",
    "SLACK_WEBHOOK_URL": "https://hooks.example.org/services/T0/B0/word",
    "PAGER_URL": "https://pager.example.org/farebox",
}
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)")
_FILE = re.compile(r"/(?:etc|run)/[\w./-]+\.pem|(?<=file:)/[\w./-]+")


# --- what is written ---


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_configuration_is_taken(block: Block, tmp_path: Path) -> None:
    """Each example, with a model and an agent beside it, is a configuration without problems."""

    def existing(match: re.Match[str]) -> str:
        path = tmp_path / match[0].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret", "utf-8")
        return str(path)

    text = _FILE.sub(existing, block.text)
    written = yaml.safe_load(text)
    merged = {**written, **{name: {**base, **written.get(name, {})} for name, base in BASE.items()}}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(merged), "utf-8")
    snapshot = load(config, {name: _URLS.get(name, f"value-of-{name}") for name in _VARIABLE.findall(text)})
    assert snapshot.left_out == ()


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_is_python(block: Block) -> None:
    compile(block.text, str(block), "exec")


OURS = [
    (str(block), command) for block in blocks("bash") for command in commands(block) if command[0].endswith("farebox")
]


@pytest.mark.parametrize(("where", "command"), OURS, ids=[f"{where} {' '.join(words[1:3])}" for where, words in OURS])
def test_commands_take_the_options_that_the_pages_give_them(where: str, command: list[str]) -> None:
    parse(typer.main.get_command(app), command[1:])


def parse(command: click.Command, words: list[str]) -> None:
    """Parse a command line as the command would, without running it."""
    context = command.make_context(command.name, list(words))
    if isinstance(command, click.Group):
        _, found, rest = command.resolve_command(context, words)
        assert found is not None
        parse(found, rest)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]+)\b(?= |$|`)", code_of(page))) <= targets


def code_of(page: Path) -> str:
    """What a page shows as code."""
    text = page.read_text("utf-8")
    return "\n".join(re.findall(r"`([^`\n]+)`", text) + re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE))


def test_the_figures_are_those_of_the_performance_page() -> None:
    section = README.read_text("utf-8").partition("## Performance")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    measured = (ROOT / "docs" / "performance.md").read_text("utf-8").splitlines()
    assert len(rows) > 4
    assert [row for row in rows if row not in measured] == []


def test_no_page_names_this_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(work|home|root|Users)/", page.read_text("utf-8")), page


# --- what happens ---


class Gateway(NamedTuple):
    """A gateway as the README makes one."""

    url: str
    folder: Path
    key: str
    curl: str
    """The command that it printed."""


def free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def farebox(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False, env=_environ())


def _environ() -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_PROXY", "_proxy"))}
    return {**known, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """`farebox init` and `farebox serve`, on ports that are free."""
    folder = tmp_path_factory.mktemp("my-gateway")
    assert farebox(folder, "init").returncode == 0
    config = folder / "config.yaml"
    port, simulator_port = free_ports()
    text = config.read_text("utf-8")
    assert text.count("4000") == 1, "the port of the example"
    text = text.replace("4000", str(port)).replace("4010", str(simulator_port))
    config.write_text(text.replace("  enabled: true\n", "  enabled: true\n  speed: 100\n", 1), "utf-8")
    command = [sys.executable, "-m", "gateway.cli", "serve"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=_environ()) as process:
        try:
            assert process.stdout is not None
            yield _greeted(folder, f"http://127.0.0.1:{port}", _until_curl(process.stdout))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            finally:
                process.kill()


def _until_curl(output: IO[str]) -> str:
    """What is printed up to the command's last line, or to the end."""
    greeting = ""
    while line := output.readline():
        greeting += line
        if line.startswith("    -d "):
            break
    return greeting


def _greeted(folder: Path, url: str, greeting: str) -> Gateway:
    curl = greeting[greeting.index("  curl ") :]
    key = re.search(r"Bearer (\S+)'", curl)
    assert key is not None
    return Gateway(url, folder, key[1], curl)


def run_shell(gateway: Gateway, text: str, **variables: str) -> str:
    """Run a shell block as written, but for the port; its output."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    environ = {**_environ(), "FAREBOX_KEY": gateway.key, "no_proxy": "127.0.0.1", **variables}
    text = text.replace("http://127.0.0.1:4000", gateway.url)
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(
        command, cwd=gateway.folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_block(language: str, containing: str) -> str:
    """The README's one block of a language that has a text in it."""
    [found] = [block.text for block in blocks(language, [README]) if containing in block.text]
    return found


def test_the_printed_curl_works_when_pasted(gateway: Gateway) -> None:
    answer = json.loads(run_shell(gateway, gateway.curl))
    assert answer["choices"][0]["message"]["content"]


def test_the_readmes_curl_works(gateway: Gateway) -> None:
    answer = json.loads(run_shell(gateway, readme_block("bash", "/v1/chat/completions")))
    assert answer["usage"]["total_tokens"] > 0


PYTHON = blocks("python", [README, ROOT / "docs" / "how-to" / "point-an-sdk.md"])


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_the_sdk_examples_work(gateway: Gateway, block: Block) -> None:
    code = block.text.replace("http://127.0.0.1:4000", gateway.url).replace("fb-...", gateway.key)
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=_environ(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout or "print" not in code


def test_the_readme_says_how_to_ask_what_it_cost(gateway: Gateway) -> None:
    body = b'{"model": "sim-small", "messages": [{"role": "user", "content": "Hello!"}]}'
    headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{gateway.url}/v1/chat/completions", body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as answer:
        request_id, cost = answer.headers["x-request-id"], answer.headers["x-farebox-cost-usd"]
    ask, query, metrics = readme_block("bash", "$REQUEST_ID").splitlines()
    told = json.loads(run_shell(gateway, ask, REQUEST_ID=request_id))
    assert told["cost_usd"] == cost
    assert 'agent="dev"' in run_shell(gateway, metrics)
    sql = shlex.split(query)[-1]
    with contextlib.closing(sqlite3.connect(gateway.folder / ".farebox" / FILE_NAME)) as database:
        [(agent, calls, usd)] = database.execute(sql).fetchall()
    assert agent == "dev"
    assert calls >= 1
    assert float(usd) >= float(cost)


@pytest.mark.parametrize("block", blocks("sql"), ids=str)
def test_queries_are_answered(gateway: Gateway, block: Block) -> None:
    with contextlib.closing(sqlite3.connect(gateway.folder / ".farebox" / FILE_NAME)) as database:
        database.execute(block.text).fetchall()


def test_a_key_as_the_pages_make_one(gateway: Gateway) -> None:
    made = farebox(gateway.folder, "keys", "create", "--agent", "coder", "--name", "laptop")
    key = made.stdout.split()[0]
    assert made.returncode == 0
    assert key.startswith("fb-")
    assert key[:11] in farebox(gateway.folder, "keys", "list").stdout
    assert "revoked" in farebox(gateway.folder, "keys", "revoke", key[:11]).stdout


def test_the_example_checks_out(gateway: Gateway) -> None:
    checked = farebox(gateway.folder, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
