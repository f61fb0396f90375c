"""`farebox init`: a working configuration where there is no checkout."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

SHIPPED = ("config.yaml", ".env.example", "policies/default.yaml", "policies/schema.json")
"""What is written, by its name in a checkout and in the folder that it is written to."""

_SCHEMA = "config.schema.json"
_CHECKOUT = Path(__file__).resolve().parents[2]


def init(
    directory: Annotated[Path, typer.Argument(help="Where to write; made if need be.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write config.yaml, policies/ and .env.example: an example that works without any provider's key.

    Example: farebox init my-gateway
    """
    contents = {name: shipped(name) for name in SHIPPED}
    contents["config.yaml"] = contents["config.yaml"].replace("$schema=gateway/config/", "$schema=")
    contents[_SCHEMA] = (resources.files("gateway.config") / _SCHEMA).read_text(encoding="utf-8")
    present = [name for name in contents if (directory / name).exists()]
    if present and not force:
        typer.echo(f"farebox init: {directory / present[0]} is there already; --force replaces it", err=True)
        raise typer.Exit(1)
    try:
        for name, text in contents.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text, encoding="utf-8")
            typer.echo(f"wrote {directory / name}")
    except OSError as error:
        typer.echo(f"farebox init: cannot write {error.filename}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    _next_steps(directory)


def shipped(name: str) -> str:
    """A file of the example: from the installed package, or from the checkout that runs."""
    packaged: Traversable = resources.files("gateway") / "shipped"
    for part in name.split("/"):
        packaged = packaged / part.removeprefix(".")
    source = packaged if packaged.is_file() else _CHECKOUT / name
    return source.read_text(encoding="utf-8")


def _next_steps(directory: Path) -> None:
    go = "" if directory == Path() else f"  cd {directory}\n"
    typer.echo(
        "\nNext:\n"
        f"{go}"
        "  farebox serve                  the gateway, with simulated models; it shows a key and a first call\n"
        "  cp .env.example .env           then fill in your providers' keys, and their models are there\n"
        "  farebox check                  after every change to config.yaml"
    )
