"""From what an SDK said and what the books say to the cells of the table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.errors import InvalidField
from tests.conformance.cases import COLUMNS, NATIVE, Variant

COLUMN_TITLES: Mapping[str, str] = {
    "completed": "run completed",
    "tool": "tool called",
    "streamed": "streamed",
    "usage": "usage seen",
    "cost": "cost exact",
    "run": "run, session",
    "402": "402 stops",
    "429": "429 waits",
    "cut": "cut reported",
}
RUN, SESSION, VALUE_NANO_USD = "trip-42", "ann-monday", 500_000_000
"""What every block of docs/sdks.md sends."""
HOLDER = "holder"
"""The run of the call that takes a busy key's only place until the SDK has been refused one."""
_LEAST_WAIT_S = 0.9
"""Of the second that `Retry-After` asks for: the two ends are measured at the gateway."""
SCENARIOS = ("plain", "stream", "broke", "busy", "cut")

YES, NO, EXPLAINED = "yes", "no", "explained"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Books:
    """What is recorded of one scenario's key."""

    requests: Sequence[Row] = ()
    charges: Sequence[Row] = ()
    billed: Mapping[str, int] = field(default_factory=dict)
    """Nano-USD on the provider's bill, by request id."""
    spoken: frozenset[str] = frozenset()
    """The APIs that the provider was asked by: `chat`, `responses`, `messages`."""


@dataclass(frozen=True)
class Scene:
    """One scenario: what the SDK showed its user, and the books. `said` is None when the script never got there."""

    said: Row | None
    books: Books


class Cell(NamedTuple):
    """`yes`, `no` or `explained`, and what was seen."""

    state: str
    evidence: str = ""
    footnote: str = ""


def judge(variant: Variant, scenes: Mapping[str, Scene]) -> dict[str, Cell]:
    """All cells of one row; none for what was not run."""
    cells = {}
    for column in COLUMNS:
        if not _NEEDED[column] <= scenes.keys():
            continue
        evidence = _CHECKS[column](variant, scenes)
        if not evidence:
            cells[column] = Cell(YES)
        elif column in variant.explained:
            cells[column] = Cell(EXPLAINED, evidence, variant.explained[column].format(evidence=evidence))
        else:
            cells[column] = Cell(NO, evidence)
    return cells


# Each check returns what is wrong, in words; nothing when the cell is green.


def _completed(variant: Variant, scenes: Mapping[str, Scene]) -> str:
    expected = {"beta": "messages"}.get(variant.api, variant.api) if variant.model == NATIVE else "chat"
    for name in ("plain", "stream"):
        if wrong := _unfinished(scenes[name]):
            return f"{name}: {wrong}"
        if (spoken := scenes[name].books.spoken) != {expected}:
            return f"{name}: the provider was asked by {', '.join(sorted(spoken)) or 'nothing'}, not by {expected}"
    return ""


def _unfinished(scene: Scene) -> str:
    if scene.said is None:
        return "no word from the script"
    if scene.said["error"]:
        return _error(scene.said)
    return "" if str(scene.said["answer"]).strip() else "an empty answer"


def _read(scene: Scene) -> list[Row]:
    """The requests that could be read. Anthropic's tool runner asks once for a thread, which no gateway can keep."""
    return [row for row in scene.books.requests if row["error_code"] != InvalidField.code]


def _error(said: Row) -> str:
    return f"{said['error']['type']}: {said['error']['message']}"


def _tool(_: Variant, scenes: Mapping[str, Scene]) -> str:
    missing = [name for name in ("plain", "stream") if not _said(scenes[name], "tool_calls")]
    return f"the tool was not called: {', '.join(missing)}" if missing else ""


def _said(scene: Scene, what: str) -> Any:
    return None if scene.said is None else scene.said[what]


def _streamed(_: Variant, scenes: Mapping[str, Scene]) -> str:
    scene = scenes["stream"]
    chunks = _said(scene, "chunks") or 0
    if chunks < 2:
        return f"{chunks} events reached the user"
    rows = _read(scene)
    plain = [row for row in rows if not row["streamed"]]
    return f"{len(plain)} of {len(rows)} requests were not streams" if plain else ""


def _usage(_: Variant, scenes: Mapping[str, Scene]) -> str:
    for name in ("plain", "stream"):
        scene = scenes[name]
        said = (_said(scene, "input_tokens"), _said(scene, "output_tokens"))
        charges = scene.books.charges
        charged = tuple(sum(row[column] for row in charges) for column in ("input_tokens", "output_tokens"))
        if said == (None, None):
            return f"{name}: the SDK shows none"
        if said != charged:
            return f"{name}: the SDK shows {said[0]} in, {said[1]} out; charged were {charged[0]} in, {charged[1]} out"
    return ""


def _cost(_: Variant, scenes: Mapping[str, Scene]) -> str:
    for name in ("plain", "stream"):
        books = scenes[name].books
        if not books.billed:
            return f"{name}: the provider billed nothing"
        charged: dict[str, int] = {}
        for row in books.charges:
            if row["purpose"] == "failed" and not row["cost_nano_usd"]:
                continue  # the provider refused this attempt, and bills nothing
            charged[row["request_id"]] = charged.get(row["request_id"], 0) + row["cost_nano_usd"]
        if charged != dict(books.billed):
            return f"{name}: charged {charged}, billed {dict(books.billed)} nano-USD"
        if estimated := sum(bool(row["estimated"]) for row in books.charges):
            return f"{name}: {estimated} charges are estimates"
    return ""


def _run(_: Variant, scenes: Mapping[str, Scene]) -> str:
    for name in ("plain", "stream"):
        rows = _read(scenes[name])
        if not rows:
            return f"{name}: no request arrived"
        for column, expected in (("run", RUN), ("session", SESSION), ("value_nano_usd", VALUE_NANO_USD)):
            found = {row[column] for row in rows}
            if found != {expected}:
                return f"{name}: {column} is {', '.join(map(str, found))}"
    return ""


def _broke(_: Variant, scenes: Mapping[str, Scene]) -> str:
    scene = scenes["broke"]
    statuses = [row["status"] for row in _read(scene)]
    if set(statuses) != {402}:
        return f"the gateway answered {statuses}"
    if len(statuses) != 1:
        return f"{len(statuses)} calls"
    return "" if _said(scene, "error") else "the user saw no error"


def _busy(_: Variant, scenes: Mapping[str, Scene]) -> str:
    scene = scenes["busy"]
    rows = [row for row in scene.books.requests if row["run"] != HOLDER]
    statuses = [row["status"] for row in rows]
    if 429 not in statuses:
        return f"the gateway answered {statuses}"
    if wrong := _unfinished(scene):
        return f"{wrong}; the gateway answered {statuses}"
    refused = statuses.index(429)
    if refused == len(rows) - 1:
        return f"it finished without asking again; the gateway answered {statuses}"
    waited_s = (rows[refused + 1]["at_us"] - rows[refused]["at_us"]) / 1_000_000
    return f"told to wait 1 s, it came back after {waited_s:.1f} s" if waited_s < _LEAST_WAIT_S else ""


def _cut(_: Variant, scenes: Mapping[str, Scene]) -> str:
    scene = scenes["cut"]
    if scene.said is None or scene.said.get("silent"):
        return "no word from the script" if scene.said is None else _error(scene.said)
    return "" if scene.said["error"] else f"the user saw no error, and the answer {scene.said['answer'][:60]!r}"


_NEEDED: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(COLUMNS, frozenset({"plain", "stream"})),
    "402": frozenset({"broke"}),
    "429": frozenset({"busy"}),
    "cut": frozenset({"cut"}),
}
_CHECKS = {
    "completed": _completed,
    "tool": _tool,
    "streamed": _streamed,
    "usage": _usage,
    "cost": _cost,
    "run": _run,
    "402": _broke,
    "429": _busy,
    "cut": _cut,
}
