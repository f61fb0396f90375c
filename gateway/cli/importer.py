"""`farebox import litellm`: another gateway's configuration, translated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.configuration import USAGE

importer = typer.Typer(help="Translate another gateway's configuration.", no_args_is_help=True, rich_markup_mode=None)


@importer.callback()
def _group() -> None:
    """Translate another gateway's configuration."""


@importer.command("litellm")
def litellm(
    file: Annotated[Path, typer.Argument(help="The LiteLLM proxy's config.yaml.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write here instead of to standard output.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
) -> None:
    """Translate a LiteLLM proxy configuration. What has no counterpart is listed on standard error, with its path.

    Secrets are never copied: a key in clear becomes a ${VARIABLE}.

    Example: farebox import litellm litellm.yaml --out config.yaml
    """
    from gateway.config import ConfigError
    from gateway.config.litellm import translate_file

    if not file.is_file():
        typer.echo(f"farebox import: there is no {file}", err=True)
        raise typer.Exit(USAGE)
    if out is not None and out.exists() and not force:
        typer.echo(f"farebox import: {out} is there already; --force replaces it", err=True)
        raise typer.Exit(1)
    try:
        translation = translate_file(file)
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        raise typer.Exit(1) from None
    if out is None:
        typer.echo(translation.text, nl=False)
    else:
        out.write_text(translation.text, encoding="utf-8")
    for note in translation.notes:
        typer.echo(f"{file}: {note}", err=True)
    if out is not None:
        typer.echo(f"wrote {out}; set its variables, then run: farebox check --config {out}", err=True)
