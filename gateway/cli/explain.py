"""`farebox explain`: why a request would be routed as it would."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import PROBLEMS, USAGE
from gateway.cli.offline import load_offline
from gateway.cli.remote import AdminKey, Column, Remote, dollars, fail, print_json, print_table

if TYPE_CHECKING:
    from gateway.config.snapshot import Snapshot
    from routing.quality import Quality

_Header = tuple[bytes, bytes]

explain = typer.Typer(rich_markup_mode=None)

_GATES = (Column("model"), Column("tier"), Column("gates", folds=True), Column("right with", right=True))
_RULES = (Column("rule"), Column("condition", folds=True), Column("result"), Column(""))
_BUDGETS = (Column("budget"), Column("left", right=True), Column("spent", right=True), Column("elapsed", right=True))
_APIS = ("chat", "completions", "embeddings", "messages", "responses")


@explain.command("explain")
def _explain(
    request: Annotated[
        Path, typer.Argument(help="The request's body, as a client would send it; - reads it from input.")
    ],
    agent: Annotated[str, typer.Option("--agent", "-a", help="Whose request it is.")],
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header of the request: 'x-farebox-value-usd: 50'.")
    ] = None,
    api: Annotated[str, typer.Option(help=f"{', '.join(_APIS[:-1])} or {_APIS[-1]}.")] = "chat",
    policy: Annotated[
        Path | None, typer.Option("--policy", help="A policy file in place of the one with its name.")
    ] = None,
    url: Annotated[
        str, typer.Option("--url", help="Ask this running gateway: by its budgets, breakers, sessions as they are now.")
    ] = "",
    admin_key: AdminKey = "",
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Tell which model would answer a request, and why: gates, rules, numbers, result. Nothing is called.

    What was learned is read from the journal, if there is one; sessions are new and budgets whole. With --url a running
    gateway tells, by all that it knows now. Exits with 1 when no model is left, with 2 when a file cannot be read, with
    3 when no gateway answers.

    Example: farebox explain request.json --agent researcher -H 'x-farebox-value-usd: 50'
    """
    if api not in _APIS:
        fail(f"`{api}` is no API: {', '.join(_APIS[:-1])} or {_APIS[-1]}", USAGE)
    body, headers = _body(request), [_header(each) for each in header or ()]
    if url and policy is not None:
        fail("--policy explains by a file, --url by what rules in a running gateway: give one of them", USAGE)
    if url:
        found = _asked_there(Remote(url, admin_key, config, refused=USAGE), body, agent, api, headers)
    else:
        found = _explained_here(config, policy, body, agent, api, headers)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not found["decision"]["models"]:
        raise typer.Exit(PROBLEMS)


def _asked_there(remote: Remote, body: bytes, agent: str, api: str, headers: Sequence[_Header]) -> dict[str, Any]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        fail("the request is not UTF-8 text", USAGE)
    sent = {name.decode(): value.decode() for name, value in headers}
    found: dict[str, Any] = remote.post("explain", {"agent": agent, "api": api, "headers": sent, "request": text})
    return found


def _explained_here(
    config: Path, policy: Path | None, body: bytes, agent: str, api: str, headers: Sequence[_Header]
) -> dict[str, Any]:
    from gateway.errors import FareboxError
    from gateway.reports.explain import Question
    from gateway.reports.explain import explain as explained
    from gateway.reports.explained import explanation_object

    snapshot = load_offline(config, policy)
    if agent not in snapshot.agents:
        fail(f"no agent is called `{agent}`; there are {', '.join(snapshot.agents)}", USAGE)
    question = Question(body, snapshot.agents[agent], list(headers), api, time.time())
    try:
        return explanation_object(explained(snapshot, question, asyncio.run(_learned(snapshot))))
    except FareboxError as error:
        fail(error.message, USAGE)


def _body(request: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(request) == "-" else request.read_bytes()
    except OSError as error:
        fail(f"{request} cannot be read: {error.strerror}", USAGE)


def _header(text: str) -> _Header:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        fail(f"`{text}` is no header: write 'name: value'", USAGE)
    return name.strip().lower().encode(), value.strip().encode()


async def _learned(snapshot: Snapshot) -> Quality | None:
    """What the journal keeps of models; None where there is no journal."""
    from gateway.journal.database import JournalError
    from gateway.journal.looking import looking
    from gateway.learned.keeper import Keeper
    from gateway.learned.quality import LearnedQuality

    learned = LearnedQuality()
    try:
        async with looking(snapshot.storage) as engine:
            await Keeper(engine, learned).load()
    except JournalError:
        return None
    return learned.quality


def _print(found: dict[str, Any]) -> None:
    facts, live = found["request"], found["live"]
    typer.echo(f"{facts['agent']} (team {facts['team']}, org {facts['org']}) asks for {facts['model']}")
    sizes = f"about {facts['input_tokens']} tokens, {facts['session_turns']} messages, {facts['tools']} tools"
    complexity = "" if facts["complexity"] is None else f"complexity {facts['complexity']:.2f}, "
    typer.echo(f"{sizes}; {complexity}value {facts['value_usd']:g} USD, priority {facts['priority']}\n")
    for header in found["unheard"]:
        typer.echo(f"{header} does not count: the `trust` of the agent `{facts['agent']}` does not list it\n")
    chances = found["p_correct"]
    rows = [
        [each["model"], each["tier"], each["excluded"] or "passes", _percent(chances.get(each["model"]))]
        for each in found["gates"]
    ]
    if rows:
        print_table(_GATES, rows)
        typer.echo()
    if found["policy"] is not None:
        print_table(
            _RULES,
            [[rule["name"], rule["condition"] or "always", rule["result"], rule["role"]] for rule in found["rules"]],
        )
        typer.echo()
    if live is not None:
        _print_live(live)
    for line in found["words"]:
        typer.echo(line)


def _print_live(live: dict[str, Any]) -> None:
    """What the gateway knows, as far as there is anything."""
    if live["budgets"]:
        print_table(
            _BUDGETS,
            [
                [each["id"], dollars(each["left_usd"]), _percent(each["spent_ratio"]), _percent(each["elapsed_ratio"])]
                for each in live["budgets"]
            ],
        )
        typer.echo()
    session = live["session"]
    if session is not None:
        cached = f", {session['cached_tokens']} tokens cached" if session["cached_tokens"] else ""
        typer.echo(f"session     was answered by {session['model']}{cached}")
    if live["unwell"]:
        typer.echo(f"unwell      {', '.join(live['unwell'])}")
    if live["slowed"]:
        typer.echo(f"slowed      its run spends too quickly ({live['slowed']}): it gets the weakest tier")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
