"""Commands that ask a running gateway: the options that all of them have, and how they show what it answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Concatenate, NamedTuple, ParamSpec

import typer

from gateway.cli.configuration import PROBLEMS
from gateway.cli.remote import AdminKey, Column, Remote, print_json, print_table

P = ParamSpec("P")
Json = dict[str, Any]

_OPTIONS: dict[str, tuple[Any, Any]] = {
    "url": (
        Annotated[
            str,
            typer.Option(
                "--url", envvar="FAREBOX_URL", help="The running gateway; as the configuration says if left out."
            ),
        ],
        "",
    ),
    "admin_key": (AdminKey, ""),
    "config": (
        Annotated[Path, typer.Option("--config", "-c", help="The configuration file: it tells where the gateway is.")],
        Path("config.yaml"),
    ),
    "as_json": (Annotated[bool, typer.Option("--json", help="Print JSON.")], False),
}


class Asking(NamedTuple):
    """One command's way to the gateway, as these options say."""

    url: str
    admin_key: str
    config: Path
    as_json: bool

    def get(self, path: str, *, refused: int = PROBLEMS, **query: str | int | None) -> Any:
        """The answer to a GET below `/admin/v1`. The command ends with `refused` where the gateway refuses."""
        return self._remote(refused).get(path, **query)

    def post(self, path: str, body: Json) -> Any:
        """The answer to a POST below `/admin/v1`."""
        return self._remote(PROBLEMS).post(path, body)

    def show(self, found: Any, words: Callable[[Any], None]) -> None:
        """Print what was found: as JSON if that is asked for, else in `words`."""
        if self.as_json:
            print_json(found)
        else:
            words(found)

    def _remote(self, refused: int) -> Remote:
        return Remote(self.url, self.admin_key, self.config, refused=refused)


class Listing(NamedTuple):
    """How a list of things is shown."""

    nothing: str
    """What is said where there are none."""
    columns: Sequence[Column]
    row: Callable[[Json], list[str]]
    """A thing's cells."""

    def show(self, asking: Asking, found: Iterable[Json]) -> None:
        """Print what was found, a line for each thing."""
        asking.show(list(found), self._print)

    def _print(self, found: list[Json]) -> None:
        if found:
            print_table(self.columns, map(self.row, found))
        else:
            typer.echo(self.nothing, err=True)


def asks(command: Callable[Concatenate[Asking, P], None]) -> Callable[..., None]:
    """A command whose first parameter is made of --url, --admin-key, --config and --json."""

    @wraps(command)
    def run(url: str, admin_key: str, config: Path, as_json: bool, *given: P.args, **named: P.kwargs) -> None:
        command(Asking(url, admin_key, config, as_json), *given, **named)

    signature = inspect.signature(command, eval_str=True)
    _, *own = signature.parameters.values()
    options = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)
        for name, (annotation, default) in _OPTIONS.items()
    ]
    shown = [*own, *options]
    run.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]  # read by inspect, and by typer
    run.__annotations__ = {each.name: each.annotation for each in shown}
    return run


def lists_by_default(group: typer.Typer, name: str, list_all: Callable[[Asking], None]) -> None:
    """Without a command `name` lists all. Options before a command are its own too: `farebox runs --url ... list`."""
    words = f"{group.info.help} Without a command: list them."

    @group.callback(invoke_without_command=True, help=f"{words}\n\nExample: farebox {name} --url http://127.0.0.1:4000")
    @asks
    def show(asking: Asking, context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            list_all(asking)
        else:
            commands = getattr(context.command, "commands", {})
            context.default_map = dict.fromkeys(commands, asking._asdict())
