"""Commands that speak to a running gateway: where it is, the admin key, the call, and what may go wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NoReturn

import typer

from gateway.cli.configuration import NO_ANSWER, PROBLEMS, USAGE, load_or_exit

TIMEOUT_S = 60.0
DEFAULT_URL = "http://127.0.0.1:4000"

AdminKey = Annotated[
    str, typer.Option("--admin-key", envvar="FAREBOX_ADMIN_KEY", help="The admin key; the viewer key may look.")
]


class Remote:
    """The admin API of a running gateway. Every failure ends the command with one line on standard error.

    The exit status is `refused` when the gateway refuses what was asked, and NO_ANSWER when there is none or when it
    cannot tell now.
    """

    def __init__(self, url: str, key: str, config: Path, *, refused: int = PROBLEMS) -> None:
        from gateway.config.variables import environment

        key = key or environment(config.parent / ".env", {}).get("FAREBOX_ADMIN_KEY", "")
        if not key:
            fail(
                "the admin key is missing: give --admin-key, or set FAREBOX_ADMIN_KEY here or in the `.env` beside the "
                "configuration",
                USAGE,
            )
        if not key.isascii() or not key.isprintable():
            fail("the admin key has characters that no key has", USAGE)
        self._url = (url or _configured(config)).rstrip("/")
        if not self._url.startswith(("http://", "https://")):
            fail(f"`{self._url}` is no address such as http://127.0.0.1:4000", USAGE)
        self._key = key
        self._refused = refused

    def get(self, path: str, **query: str | int | None) -> Any:
        """The answer to a GET below `/admin/v1`."""
        from urllib.parse import urlencode

        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", path + (f"?{urlencode(given)}" if given else ""), None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to a POST below `/admin/v1`."""
        return self._ask("POST", path, {name: value for name, value in body.items() if value is not None})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        import urllib.error
        import urllib.request
        from http.client import HTTPException

        address = f"{self._url}/admin/v1/{path}"
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, headers, method=method)  # noqa: S310 -- http or https: checked above
        try:
            with _opener(address).open(request, timeout=TIMEOUT_S) as answer:
                return _object(answer.read())
        except urllib.error.HTTPError as error:
            fail(_words_of(error.code, error.read()), NO_ANSWER if error.code >= 500 else self._refused)
        except (OSError, HTTPException) as error:
            fail(f"no gateway answers at {self._url}: {getattr(error, 'reason', error)}", NO_ANSWER)
        except ValueError:
            fail(f"what answers at {self._url} is no gateway: {address} is not what a gateway says", NO_ANSWER)


def _object(body: bytes) -> dict[str, Any]:
    """What every answer of a gateway is. Raises ValueError."""
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError(type(found).__name__)  # noqa: TRY004 -- like JSON that is none
    return found


def _opener(address: str) -> Any:
    """Proxies of the environment are for addresses elsewhere, not for this machine."""
    import urllib.request
    from urllib.parse import urlsplit

    host = urlsplit(address).hostname or ""
    here = host in ("localhost", "::1") or host.startswith("127.")
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if here else []))


def _words_of(status: int, body: bytes) -> str:
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return f"the gateway answers with status {status}"
    if status == 404 and "/admin/v1" in str(message):
        return (
            f"{message} Does this gateway have an admin key (a new one takes a restart), and is this the address of "
            "its admin listener?"
        )
    return str(message)


def _configured(config: Path) -> str:
    from gateway.config import load
    from gateway.config.problems import ConfigError

    if not config.is_file():
        load_or_exit(config)
    try:
        snapshot = load(config)
    except ConfigError:  # the gateway still runs on the one before
        typer.echo(f"farebox: {config} cannot be read as it is (`farebox check`); asking {DEFAULT_URL}", err=True)
        return DEFAULT_URL
    admin, server = snapshot.admin, snapshot.server
    host, port = (server.host, server.port) if admin.host is None or admin.port is None else (admin.host, admin.port)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # everywhere is here too
    scheme = "http" if server.tls is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def fail(message: str, status: int) -> NoReturn:
    """End the command: one line on standard error."""
    typer.echo(f"farebox: {message}", err=True)
    raise typer.Exit(status)


def print_json(value: Any) -> None:
    """Print JSON for programs, and people."""
    typer.echo(json.dumps(value, indent=2))


class Column(NamedTuple):
    """A column of a table."""

    heading: str
    right: bool = False
    folds: bool = False
    """Whether it may be broken into lines; others stay in one piece."""
    from_width: int = 0
    """Left out where the terminal is narrower than this many characters."""


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table that fits the terminal; what goes to a file or another program has every column, unfolded."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    width = console.width if sys.stdout.isatty() else sys.maxsize
    shown = [at for at, column in enumerate(columns) if width >= column.from_width]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for at in shown:
        column = columns[at]
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.heading, justify=justify, no_wrap=not column.folds, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[at]) for at in shown))  # Text, since a cell may hold what rich takes for markup
    if not sys.stdout.isatty():
        console.width = max(console.width, console.measure(table, options=console.options.update(width=9999)).maximum)
    console.print(table)


def dollars(usd: str | None) -> str:
    """An exact amount, shortened to what a person reads: `12.50`, `0.0042`, `0.000125`."""
    if usd is None:
        return ""
    from decimal import Decimal

    exact = Decimal(usd)
    text = f"{exact:.2f}" if abs(exact) >= 1 else f"{exact:.6f}".rstrip("0")
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals:0<2}"


def clock(at: str | None) -> str:
    """`2026-12-01T00:00:00Z` as `12-01 00:00`; the year goes without saying, the zone is UTC."""
    return "" if at is None else at[5:16].replace("T", " ")


def clock_s(at: str | None) -> str:
    """`2026-12-01T00:00:05Z` as `12-01 00:00:05`, for what passes quickly."""
    return "" if at is None else at[5:19].replace("T", " ")
