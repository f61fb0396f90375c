"""What is wrong with a configuration, all of it at once, each with its place.

A message never contains a value that came from a variable or a secret file: it shows what was written (`${NAME}`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

YamlPath = tuple[str | int, ...]
"""Keys and list indices from the root of a configuration."""

_MAX_CHOICES = 8
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_/*:@+-]+")


class Place(NamedTuple):
    """Where something is written. Lines and columns count from 1."""

    file: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(NamedTuple):
    """One thing to correct."""

    file: Path
    line: int
    column: int
    path: str
    """Dotted, as in `models.gpt-5.deployments[0].provider`; empty for a file as a whole."""
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        return f"{where}{self.path}: {self.message}" if self.path else where + self.message


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has everything found, ordered by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems), key=lambda p: (str(p.file), *p[1:]))
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: YamlPath) -> str:
    """A path for people: `keys.ci`, `include[0]`, `models."gpt-4.1".price`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _PLAIN_KEY.fullmatch(part) else f'"{part}"')
    return text


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest choice, or all of them when they are few."""
    known = sorted(set(choices))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not near:
        lower = {choice.lower(): choice for choice in known}
        near = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)]
    if near:
        return f"; did you mean {near[0]!r}?"
    if not known:
        return "; none is defined"
    if len(known) <= _MAX_CHOICES:
        return f"; there is {', '.join(map(repr, known))}"
    return ""
