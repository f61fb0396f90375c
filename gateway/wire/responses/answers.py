"""What is read of a response object, whole or in the last event of a stream, beside what generates it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.wire.answers import NO_SERVICES, MalformedAnswer, WholeAnswer
from gateway.wire.responses.raw import ABSENT, MALFORMED, NULL, first, is_null, read_fields, read_list
from gateway.wire.responses.tools import image_unit, units_of
from gateway.wire.responses.usage import read_usage

CUT: Final = "max_output_tokens"
"""Why an answer is incomplete that reached its bound."""
FAILED: Final = frozenset(("failed", "cancelled"))
_CALLS: Final = frozenset(("function_call", "custom_tool_call"))
"""Items by which the model calls the client's tools."""


class IncompleteDetails(msgspec.Struct):
    """Why an answer is incomplete."""

    reason: str | None = None


class _WebSearches(msgspec.Struct):
    num_requests: int = 0


class _ToolUsage(msgspec.Struct):
    web_search: _WebSearches | None = None


class Body(msgspec.Struct):
    """A response object."""

    id: str = ""
    object: str = ""
    status: str = ""
    output: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    service_tier: str | None = None
    incomplete_details: IncompleteDetails | None = None
    tools: msgspec.Raw = ABSENT
    tool_usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT

    @property
    def reason(self) -> str | None:
        """Why it is incomplete."""
        return None if self.incomplete_details is None else self.incomplete_details.reason


class OutputItem(msgspec.Struct):
    """An item of the output, as far as it tells what it cost."""

    type: str = ""
    status: str | None = None
    action: msgspec.Raw = ABSENT
    container_id: msgspec.Raw = ABSENT
    name: msgspec.Raw = ABSENT


class _Action(msgspec.Struct):
    type: str = ""


_body_decoder = msgspec.json.Decoder(Body)
_item_decoder = msgspec.json.Decoder(OutputItem)
_action_decoder = msgspec.json.Decoder(_Action)
_tool_usage_decoder = msgspec.json.Decoder(_ToolUsage)
read_body = _body_decoder.decode
read_item = _item_decoder.decode


class Services:
    """Counts what the provider ran beside generating."""

    __slots__ = ("_containers", "_units", "counts")

    def __init__(self, units: Mapping[str, str]) -> None:
        """`units` of calls that do not tell theirs (`gateway.wire.responses.tools.units_of`)."""
        self._units = units
        self.counts: dict[str, int] = {}
        self._containers: set[bytes] = set()
        """The interpreter is billed by container, however often it is called."""

    def add(self, item: OutputItem, raw: msgspec.Raw) -> None:
        """Count an item that is done."""
        kind = item.type
        if not kind.endswith("_call") or item.status == "failed":
            return
        if kind == "web_search_call":
            if _is_search(item.action):
                self._count(self._units.get(kind, "web_search"))
        elif kind == "file_search_call":
            self._count("file_search")
        elif kind == "image_generation_call":
            self._count(image_unit(read_fields(raw)))
        elif kind == "code_interpreter_call":
            container = bytes(item.container_id)
            if is_null(item.container_id) or container not in self._containers:
                self._containers.add(container)
                self._count(self._units.get(kind, "code_interpreter"))

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


def _is_search(action: msgspec.Raw) -> bool:
    """Whether a web search searched: opening a page, and finding something in it, are free."""
    try:
        return is_null(action) or _action_decoder.decode(action).type in ("", "search")
    except MALFORMED:
        return True


def services_of(body: Body) -> Mapping[str, int]:
    """What the provider ran for a finished response, by its items; searches by the provider's own count."""
    if b"_call" not in bytes(body.output):
        return NO_SERVICES
    units = units_of(body.tools)
    services = Services(units)
    for raw in items_of_output(body.output):
        try:
            services.add(read_item(raw), raw)
        except MALFORMED:
            continue
    search = units.get("web_search_call", "web_search")
    if search in services.counts and not is_null(body.tool_usage):
        try:
            told = _tool_usage_decoder.decode(body.tool_usage).web_search
        except MALFORMED:
            told = None
        if told is not None:
            services.counts[search] = told.num_requests
    return services.counts


def items_of_output(output: msgspec.Raw) -> list[msgspec.Raw]:
    """The items of `output`."""
    if first(output) != b"[":
        return []
    try:
        return read_list(output)
    except MALFORMED:  # pragma: no cover -- it was decoded before
        return []


def choices_of(body: Body) -> msgspec.Raw:
    """The end of an answer as chat tells it: just what is looked at in `WholeAnswer.choices`, without its texts."""
    output = bytes(body.output)
    called = any(b'"%b"' % kind.encode() in output for kind in _CALLS)
    reason = {CUT: b"length", "content_filter": b"content_filter"}.get(body.reason or "", b"stop")
    content = b'"content":"."' if b'"output_text"' in output else b'"content":null'
    calls = b',"tool_calls":[{}]' if called else b""
    return msgspec.Raw(b'[{"finish_reason":"%b","message":{%b%b}}]' % (reason, content, calls))


def read_answer(body: bytes) -> WholeAnswer:
    """Read a whole response. Raises MalformedAnswer when it is none."""
    try:
        response = read_body(body)
    except MALFORMED as error:
        raise MalformedAnswer(str(error)) from None
    failed = response.status in FAILED or (bytes(response.error) not in NULL and len(memoryview(response.output)) <= 2)
    if not memoryview(response.output) and not failed:
        raise MalformedAnswer("it has no output")
    usage, reported = read_usage(response.usage)
    return WholeAnswer(
        usage,
        response.service_tier,
        len(memoryview(response.output)),
        failed,
        choices_of(response),
        reported,
        services_of(response) or None,
    )
