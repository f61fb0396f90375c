"""Draws panels as SVG: enough to see what a board shows before one installs Grafana. Light or dark, as one reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from typing import Any, NamedTuple

CELL, ROW, GAP = 50, 30, 6
PALETTE = ("#5b8ff9", "#61b75c", "#e8a33d", "#e0605e", "#8d6fd1", "#3fb1b5", "#c96aa9", "#8a8f98", "#b58b55", "#6f9c3d")
NAMED = {
    "green": "#4fa34a", "orange": "#e0862f", "red": "#d9534f", "blue": "#4a86e8", "yellow": "#d6b21f",
    "purple": "#8d6fd1", "dark-red": "#a33a36", "dark-orange": "#b5651d", "text": "#7d8590",
}  # fmt: skip
STYLE = """
  svg { font-family: sans-serif } text { font-size: 11px; fill: #24292f } .dim { font-size: 9px; fill: #6b7280 }
  .title { font-weight: 600 } .board { font-size: 17px } .line { fill: none; stroke-width: 1.3 }
  .back { fill: #f4f5f7 } .panel { fill: #ffffff; stroke: #d8dbe0 } .grid { stroke: #d8dbe0; stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #d5d6da } .dim { fill: #8e9197 }
    .back { fill: #111217 } .panel { fill: #181b1f; stroke: #2c3235 } .grid { stroke: #2c3235 }
  }
"""


class Box(NamedTuple):
    """Where something is drawn."""

    x: float
    y: float
    w: float
    h: float


class Line(NamedTuple):
    """A series: its name, and numbers by moment."""

    name: str
    points: dict[float, float]


def board(title: str, panels: Sequence[tuple[dict[str, Any], Callable[[Box], Iterator[str]]]]) -> str:
    """The whole picture. `panels` are Grafana's, with what draws each into its box; headings draw nothing."""
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel, _ in panels)
    width, height = 24 * CELL, bottom * ROW + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" class="back"/>',
        f'<text x="10" y="25" class="title board">{escape(title)}</text>',
    ]
    for panel, draw in panels:
        place = panel["gridPos"]
        x, y = place["x"] * CELL + GAP / 2, place["y"] * ROW + 40 + GAP / 2
        w, h = place["w"] * CELL - GAP, place["h"] * ROW - GAP
        if panel["type"] == "row":
            parts.append(f'<text x="{x + 4}" y="{y + 17}" class="title">{escape(panel["title"])}</text>')
            continue
        parts.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="3" class="panel"/>'
            f'<text x="{x + 8}" y="{y + 16}" class="title">{escape(shortened(panel["title"], w - 10))}</text>'
        )
        parts += draw(Box(x + 8, y + 24, w - 16, h - 30))
    return "\n".join([*parts, "</svg>", ""])


def number(value: float, unit: str) -> str:
    """As Grafana writes it, about."""
    if not math.isfinite(value):
        return "no data"
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit == "s":
        return _duration(value)
    size = abs(value)
    scale, letter = next(((s, n) for s, n in ((1e9, "B"), (1e6, "M"), (1e3, "K")) if size >= s), (1, ""))
    shown = f"{value / scale:.3g}" if size < 100 or letter else f"{value:.0f}"
    if unit == "currencyUSD":
        sign = "-" if value < 0 else ""
        return f"{sign}${abs(value) / scale:.2f}{letter}" if size >= 0.1 or not size else f"{sign}${size:.2g}"
    return f"{shown}{letter}{'/s' if unit == 'reqps' else ''}"


def shade(value: float, steps: list[dict[str, Any]]) -> str:
    """The colour of a number by its thresholds."""
    reached = [step["color"] for step in steps if step.get("value") is None or value >= step["value"]]
    return NAMED[reached[-1]]


def stat(box: Box, values: list[Line], unit: str, steps: list[dict[str, Any]]) -> Iterator[str]:
    """Numbers side by side."""
    each = box.w / max(1, len(values))
    for index, line in enumerate(values):
        value = next(iter(line.points.values()))
        middle = box.x + each * (index + 0.5)
        size = min(30, box.h * 0.55)
        yield (
            f'<text x="{middle:.0f}" y="{box.y + box.h * 0.62:.0f}" text-anchor="middle" '
            f'style="font-size:{size:.0f}px;fill:{shade(value, steps)}">{number(value, unit)}</text>'
        )
        if line.name:
            under = f'x="{middle:.0f}" y="{box.y + box.h:.0f}" text-anchor="middle"'
            yield f'<text {under} class="dim">{escape(line.name)}</text>'


def bars(box: Box, values: list[Line], unit: str, steps: list[dict[str, Any]]) -> Iterator[str]:
    """Horizontal bars."""
    most = max((abs(next(iter(line.points.values()))) for line in values), default=1) or 1
    each = min(26.0, box.h / max(1, len(values)))
    for index, line in enumerate(values):
        value, y = next(iter(line.points.values())), box.y + index * each
        wide = (box.w - 210) * abs(value) / most
        yield f'<text x="{box.x}" y="{y + each * 0.65:.0f}">{escape(shortened(line.name, 130))}</text>'
        yield (
            f'<rect x="{box.x + 140}" y="{y + 3:.0f}" width="{max(1, wide):.0f}" height="{each - 7:.0f}" '
            f'fill="{shade(value, steps)}" opacity="0.8"/>'
            f'<text x="{box.x + 146 + wide:.0f}" y="{y + each * 0.65:.0f}">{number(value, unit)}</text>'
        )


def donut(box: Box, values: list[Line], unit: str, colors: dict[str, str]) -> Iterator[str]:
    """Parts of a whole, and their legend."""
    values = sorted(values, key=lambda line: -next(iter(line.points.values())))
    whole = sum(next(iter(line.points.values())) for line in values) or 1
    radius = min(box.h, box.w / 2) * 0.36
    x, y, length, begun = box.x + box.w * 0.26, box.y + box.h / 2, 2 * math.pi * radius, 0.0
    for index, line in enumerate(values):
        value, color = next(iter(line.points.values())), colors.get(line.name, PALETTE[index % len(PALETTE)])
        part = value / whole * length
        yield (
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius:.0f}" fill="none" stroke="{color}" '
            f'stroke-width="{radius * 0.5:.0f}" '
            f'stroke-dasharray="{part:.1f} {length - part:.1f}" stroke-dashoffset="{-begun:.1f}"/>'
        )
        begun += part
        top = box.y + 16 + index * 18
        yield f'<rect x="{box.x + box.w * 0.55:.0f}" y="{top - 8:.0f}" width="9" height="9" fill="{color}"/>'
        said = f"{line.name or '(none)'}  {value / whole:.0%}  {number(value, unit)}"
        yield f'<text x="{box.x + box.w * 0.55 + 14:.0f}" y="{top:.0f}">{escape(said)}</text>'


def over_time(
    box: Box, lines: list[Line], unit: str, *, span: tuple[float, float], stack: bool, colors: dict[str, str]
) -> Iterator[str]:
    """Lines, or bars on each other, with axes and a legend. `span`: from when to when."""
    times = sorted({*span, *(at_s for line in lines for at_s in line.points)})
    sums = [sum(line.points.get(at_s, 0.0) for line in lines) for at_s in times]
    every = [value for line in lines for value in line.points.values() if math.isfinite(value)]
    most = max(sums if stack else every, default=1.0) * 1.05 or 1.0
    inner = Box(box.x + 44, box.y, box.w - 48, box.h - 34)
    inner = inner._replace(w=inner.w * (1 - 1 / min(len(times), 60))) if stack else inner  # the last bar's own width
    across = lambda at_s: inner.x + inner.w * (at_s - times[0]) / (times[-1] - times[0] or 1)  # noqa: E731  # of this scale
    up = lambda value: inner.y + inner.h * (1 - max(0.0, value) / most)  # noqa: E731  # of this scale
    for part in (0.0, 0.5, 1.0):
        y = inner.y + inner.h * (1 - part)
        yield f'<line class="grid" x1="{inner.x}" x2="{inner.x + inner.w}" y1="{y:.0f}" y2="{y:.0f}"/>'
        said = number(most * part, unit)
        yield f'<text class="dim" x="{inner.x - 4}" y="{y + 3:.0f}" text-anchor="end">{said}</text>'
    for part in (0.02, 0.35, 0.68, 0.97):
        at = datetime.fromtimestamp(times[0] + part * (times[-1] - times[0]), UTC)
        shape = "%d %b" if times[-1] - times[0] > 2 * 86_400 else "%H:%M"
        x, y = inner.x + inner.w * part, inner.y + inner.h + 11
        yield f'<text class="dim" x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{at.strftime(shape)}</text>'
    shades = [colors.get(line.name, PALETTE[index % len(PALETTE)]) for index, line in enumerate(lines)]
    if stack:
        yield from _stacked(lines, shades, times, across, up)
    else:
        for line, color in zip(lines, shades, strict=True):
            path = " ".join(f"{across(t):.0f},{up(v):.0f}" for t, v in sorted(line.points.items()) if math.isfinite(v))
            yield f'<polyline class="line" stroke="{color}" points="{path}"/>'
    yield from _legend(box, lines, shades)


def timeline(box: Box, lines: list[Line], states: dict[str, Any]) -> Iterator[str]:
    """Coloured stretches for each series."""
    each = min(34.0, box.h / max(1, len(lines)))
    for index, line in enumerate(lines):
        y, times = box.y + index * each, sorted(line.points)
        yield f'<text x="{box.x}" y="{y + each * 0.6:.0f}">{escape(shortened(line.name, 140))}</text>'
        width = (box.w - 150) / (times[-1] - times[0])
        changes = [
            times[0],
            *(now for before, now in pairwise(times) if line.points[now] != line.points[before]),
            times[-1],
        ]
        for begin, end in pairwise(changes):
            color = NAMED[states[str(int(line.points[begin]))]["color"]]
            yield (
                f'<rect x="{box.x + 150 + (begin - times[0]) * width:.0f}" y="{y + 4:.0f}" '
                f'width="{(end - begin) * width:.0f}" height="{each - 8:.0f}" fill="{color}" opacity="0.75"/>'
            )


def table(box: Box, heads: list[str], rows: list[list[tuple[str, str]]]) -> Iterator[str]:
    """Text in columns: each cell with its colour. What does not fit is left out."""
    widest = [max(len(head), *(len(row[n][0]) for row in rows)) + 2 for n, head in enumerate(heads)]
    starts = [box.x + box.w * sum(widest[:n]) / sum(widest) for n in range(len(heads))]
    room = [box.w * wide / sum(widest) for wide in widest]
    for start, head, wide in zip(starts, heads, room, strict=True):
        yield f'<text class="dim" x="{start:.0f}" y="{box.y + 10:.0f}">{escape(shortened(head, wide))}</text>'
    for index, row in enumerate(rows[: int((box.h - 14) / 19)]):
        y = box.y + 28 + index * 19
        yield f'<line class="grid" x1="{box.x}" x2="{box.x + box.w}" y1="{y - 14:.0f}" y2="{y - 14:.0f}"/>'
        for start, (said, color), wide in zip(starts, row, room, strict=True):
            style = f' style="fill:{color}"' if color else ""
            yield f'<text x="{start:.0f}" y="{y:.0f}"{style}>{escape(shortened(said, wide))}</text>'


def shortened(text: str, width: float) -> str:
    """So much of a text as fits."""
    fits = max(3, int(width / 5.6))
    return text if len(text) <= fits else text[: fits - 1] + "…"


def _stacked(
    lines: list[Line],
    shades: list[str],
    times: list[float],
    across: Callable[[float], float],
    up: Callable[[float], float],
) -> Iterator[str]:
    below = dict.fromkeys(times, 0.0)
    wide = max(1.0, (across(times[1]) - across(times[0])) * 0.8)
    if len(times) > 3:
        wide = max(1.0, min(across(now) - across(before) for before, now in pairwise(times[1:-1])) * 0.8)
    for line, color in zip(lines, shades, strict=True):
        path = ""
        for at_s, value in sorted(line.points.items()):
            low, high = up(below[at_s]), up(below[at_s] + value)
            if low - high >= 0.5:
                path += f"M{across(at_s):.0f} {low:.0f}V{high:.0f}h{wide:.0f}V{low:.0f}z"
            below[at_s] += value
        yield f'<path d="{path}" fill="{color}" opacity="0.85"/>'


def _legend(box: Box, lines: list[Line], shades: list[str]) -> Iterator[str]:
    x = box.x
    for line, color in zip(lines, shades, strict=True):
        wide = 20 + 5.8 * len(line.name or "all")
        if x + wide > box.x + box.w:
            yield f'<text class="dim" x="{x:.0f}" y="{box.y + box.h:.0f}">…</text>'
            return
        yield f'<rect x="{x:.0f}" y="{box.y + box.h - 8:.0f}" width="9" height="9" fill="{color}"/>'
        yield f'<text class="dim" x="{x + 13:.0f}" y="{box.y + box.h:.0f}">{escape(line.name or "all")}</text>'
        x += wide


def _duration(value_s: float) -> str:
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if abs(value_s) >= size:
            return f"{value_s / size:.3g} {word}"
    return f"{value_s:.3g} s" if abs(value_s) >= 1 or not value_s else f"{value_s * 1000:.3g} ms"
