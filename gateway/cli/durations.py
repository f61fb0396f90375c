"""Stretches of time on the command line: `90s`, `15m`, `12h`, `7d`, `4w`."""

from __future__ import annotations

import re

import typer

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_FORM = re.compile(r"([0-9]{1,6})([smhdw])")


def seconds(text: str) -> int:
    """What a duration comes to. Raises typer.BadParameter."""
    found = _FORM.fullmatch(text)
    if found is None or not int(found[1]):
        raise typer.BadParameter("should be a number and one of s, m, h, d, w: 12h, 7d")
    return int(found[1]) * _UNITS_S[found[2]]
