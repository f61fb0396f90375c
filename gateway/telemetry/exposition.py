"""Writes our numbers in Prometheus' text format or in OpenMetrics.

The client library would take a second for the lines of 200 agents with 10 models each; this takes a twentieth of that,
and its parsers read both formats in the tests. The library still tells of the process itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, cast

from prometheus_client.process_collector import ProcessCollector

from gateway.telemetry.names import FAMILIES, PREFIX, Family
from gateway.telemetry.series import Exemplar, HistogramValue, Key

Numbers = Sequence[tuple[Key, float]]
"""A counter's or gauge's label values, in the family's order, each with a value in the unit we count in."""
Histograms = Sequence[tuple[Key, HistogramValue]]
Rows = Numbers | Histograms

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_PROCESS = ProcessCollector(registry=None)
_SPECIAL = re.compile(r'[\\"\n]')
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n"}


def render(state: Mapping[str, Rows], accept: str) -> tuple[bytes, str]:
    """The exposition of `state`, by family name without prefix, and of the process itself; and its content type.

    `accept` is the scraper's Accept header: OpenMetrics when it asks for that, else Prometheus' text format. Takes tens
    of milliseconds for tens of thousands of lines, so it belongs into a thread.
    """
    openmetrics = _wants_openmetrics(accept)
    lines: list[str] = []
    escaped = _Escaped()
    for family in FAMILIES:
        if family.name in state:
            _Writer(family, openmetrics, escaped, lines).write(state[family.name])
    lines += _process_lines(openmetrics)
    if openmetrics:
        lines.append("# EOF")
    lines.append("")
    return "\n".join(lines).encode(), OPENMETRICS if openmetrics else TEXT


def _wants_openmetrics(accept: str) -> bool:
    """Whether a media range of OpenMetrics is among those that the scraper takes, in a version that we write."""
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        if media != "application/openmetrics-text":
            continue
        found = dict(pair.split("=", 1) for pair in parameters if "=" in pair)
        if found.get("version", "1.0.0") == "1.0.0" and found.get("q", "1").strip("0.") != "":
            return True
    return False


class _Escaped(dict[str, str]):
    """Label values as they are written. Few values make many lines."""

    def __missing__(self, value: str) -> str:
        written = self[value] = _SPECIAL.sub(lambda found: _ESCAPES[found.group()], value)
        return written


class _Writer:
    """Appends one family's lines."""

    def __init__(self, family: Family, openmetrics: bool, escaped: _Escaped, lines: list[str]) -> None:
        self._family = family
        self._openmetrics = openmetrics
        self._escaped = escaped
        self._lines = lines
        self._name = PREFIX + family.name
        self._labels = ",".join(f'{label}="%s"' for label in family.labels)

    def write(self, rows: Rows) -> None:
        """Write the family's description and its rows."""
        family = self._family
        self._lines += _head(self._name, family.kind, family.help, self._openmetrics)
        if family.kind == "histogram":
            self._histograms(cast("Histograms", rows))
        else:
            self._numbers(cast("Numbers", rows))

    def _numbers(self, rows: Numbers) -> None:
        divisor, write = self._family.divisor, self._escaped.__getitem__
        line = f"{self._name}{{{self._labels}}} %" if self._labels else f"{self._name} %"
        if divisor != 1:
            line += "r"
            self._lines += [line % (*map(write, key), value / divisor) for key, value in rows]
        elif self._family.kind == "counter":
            line += "d.0"
            self._lines += [line % (*map(write, key), value) for key, value in rows]
        else:
            line += "s"
            self._lines += [line % (*map(write, key), _number(value)) for key, value in rows]

    def _histograms(self, rows: Histograms) -> None:
        if not rows:
            return
        name, divisor, write = self._name, self._family.divisor, self._escaped.__getitem__
        bounds = [*(repr(float(bound / divisor)) for bound in rows[0][1].bounds), "+Inf"]
        template = "\n".join(
            [f'{name}_bucket{{%s,le="{bound}"}} %d%s' for bound in bounds]
            + [f"{name}_count{{%s}} %d", f"{name}_sum{{%s}} %s"]
        )
        none = [""] * len(bounds)
        for key, value in rows:
            labels = self._labels % tuple(map(write, key))
            exemplars = none
            if self._openmetrics and value.exemplars:
                exemplars = [_exemplar(each, divisor) for each in value.exemplars]
            parts: list[object] = []
            for count, exemplar in zip(accumulate(value.counts), exemplars, strict=True):
                parts += (labels, count, exemplar)
            parts += (labels, parts[-2], labels, repr(value.sum / divisor))
            self._lines.append(template % tuple(parts))


def _head(name: str, kind: str, text: str, openmetrics: bool) -> tuple[str, str]:
    if openmetrics and kind == "counter":
        name = name.removesuffix("_total")
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _number(value: float) -> str:
    return repr(float(value))


def _exemplar(exemplar: Exemplar | None, divisor: float) -> str:
    """A request to look at, by its id and its trace's: its client's, else that of `gateway.telemetry.spans`."""
    if exemplar is None:
        return ""
    request_id, trace_id, value, at_s = exemplar
    trace_id = trace_id or request_id.removeprefix("req_").rjust(32, "0")
    return f' # {{trace_id="{trace_id}",request_id="{request_id}"}} {value / divisor!r} {at_s:.3f}'


def _process_lines(openmetrics: bool) -> Iterator[str]:
    for metric in _PROCESS.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        yield from _head(name, metric.type, metric.documentation, openmetrics)
        for sample in metric.samples:
            yield f"{sample.name} {sample.value!r}"
