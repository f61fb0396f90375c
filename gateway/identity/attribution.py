"""Attribution: on whose behalf an identified caller asks. Labels only; what is enforced comes from the key.

Pure: headers and body fields in, `Attribution` and the headers for the provider out. Precedence, forms and sources are
those of docs/attribution.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from gateway.errors import InvalidHeader
from gateway.identity.headers import DROP, FORWARD, Role, role_of
from routing.money import NANO_PER_USD, NanoUsd, parse_usd

MAX_ID_CHARS = 128
MAX_TAGS = 32
MAX_TAG_CHARS = 256
MAX_METADATA_ENTRIES = 256
"""Entries of a metadata object that are looked at. OpenAI allows 16."""
MAX_VALUE = NanoUsd(1_000_000_000 * NANO_PER_USD)
"""The most a request may claim to be worth; it must fit the journal's 64 bits."""

MAX_TIMEOUT_S = 86_400.0

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_PARENT = re.compile(r"([A-Za-z0-9._:-]{1,128}/)?[A-Za-z0-9._:-]{1,128}")
"""A parent may be named with its agent: `planner/nightly`."""
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_SDK = re.compile(r"[A-Za-z0-9._/ -]{1,64}")
_BAGGAGE_LABELS = {
    "gen_ai.conversation.id": "session",
    "gen_ai.agent.id": "agent_id",
    "gen_ai.agent.name": "agent_name",
}
_METADATA_LABELS = {
    "run": "run",
    "run_id": "run",
    "trace_id": "run",
    "session": "session",
    "session_id": "session",
    "conversation_id": "session",
    "user": "user",
    "user_id": "user",
    "_user": "user",
}

Headers = list[tuple[bytes, bytes]]


class Attribution(NamedTuple):
    """Whom a request is for, as its client says."""

    run: str | None = None
    parent_run: str | None = None
    step: str | None = None
    session: str | None = None
    user: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    value_nano_usd: NanoUsd | None = None
    priority: str | None = None
    complexity: float | None = None
    sdk: str | None = None
    timeout_s: float | None = None
    """How long the client waits for its answer; never longer than configured."""
    traceparent: str = ""
    """The span that the request belongs to (W3C Trace Context), whatever else names the run."""


class _Labels:
    """Collects candidates; the lowest rank wins, the first of equals."""

    __slots__ = ("ranks", "tag_ranks", "tags", "values")

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.ranks: dict[str, int] = {}
        self.tags: dict[str, str] = {}
        self.tag_ranks: dict[str, int] = {}

    def put(self, label: str, rank: int, value: Any) -> None:
        if rank < self.ranks.get(label, 99):
            self.values[label] = value
            self.ranks[label] = rank

    def put_tag(self, name: str, value: str, rank: int) -> None:
        if rank >= self.tag_ranks.get(name, 99):
            return
        if name not in self.tags and len(self.tags) >= MAX_TAGS:
            last = max(self.tags, key=self.tag_ranks.__getitem__)
            if self.tag_ranks[last] <= rank:
                return
            del self.tags[last], self.tag_ranks[last]
        self.tags[name] = value
        self.tag_ranks[name] = rank


def attribute(headers: Headers, body: Mapping[str, msgspec.Raw], trust: frozenset[str]) -> tuple[Attribution, Headers]:
    """Read the labels of a request, and split off the headers that go on to the provider.

    `headers` have lower-case names. `body` holds the request's top-level fields. `trust` says which of `value`,
    `priority` and `complexity` count when this client sends them. Raises InvalidHeader when a `x-farebox-*` header has
    the wrong form.
    """
    forwarded: Headers = []
    labels = _Labels()
    for header in headers:
        role = role_of(header[0])
        kind = role.kind
        if kind is FORWARD:
            forwarded.append(header)
        elif kind is not DROP:
            _READERS[kind](labels, role, header[0].decode("latin-1"), header[1].decode("utf-8", "replace").strip())
    _read_body(labels, body)
    values = labels.values.get
    return (
        Attribution(
            values("run"),
            values("parent_run"),
            values("step"),
            values("session"),
            values("user"),
            tuple(labels.tags.items()),
            values("value") if "value" in trust else None,
            values("priority") if "priority" in trust else None,
            values("complexity") if "complexity" in trust else None,
            values("sdk"),
            values("timeout"),
            values("traceparent", ""),
        ),
        forwarded,
    )


def adapt_id(text: str) -> str:
    """A foreign id in our alphabet: as it is when it fits, else a digest that is the same every time.

    An e-mail address or a URL as `user` must not break a client that was there before us (docs/adr/0005).
    """
    if _ID.fullmatch(text):
        return text
    return "h:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _adapt_value(text: str) -> str:
    """A foreign tag's value: cut to our length, and without characters that terminals and databases trip over."""
    text = text[:MAX_TAG_CHARS]
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def _read_id(labels: _Labels, role: Role, name: str, text: str) -> None:
    if role.strict:
        if not (_PARENT if role.kind == "parent_run" else _ID).fullmatch(text):
            raise InvalidHeader(
                f"The header `{name}` must be 1 to {MAX_ID_CHARS} characters of A-Z a-z 0-9 . _ : -", param=name
            )
        labels.put(role.kind, role.rank, text)
    elif text:
        labels.put(role.kind, role.rank, adapt_id(text))


def _read_tags(labels: _Labels, role: Role, name: str, text: str) -> None:
    count = 0
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = pair.partition("=")
        key, value = key.strip(), value.strip()
        if not separator and not role.strict:  # LiteLLM's tags are bare words
            key, value = adapt_id(key), "true"
        elif not separator or not _ID.fullmatch(key) or len(value) > MAX_TAG_CHARS or not value.isprintable():
            if role.strict:
                raise InvalidHeader(
                    f"The header `{name}` must be a list such as `feature=search,plan=pro`: names of A-Z a-z 0-9 . _ "
                    f": -, values of at most {MAX_TAG_CHARS} characters.",
                    param=name,
                )
            continue
        count += 1
        if role.strict and count > MAX_TAGS:
            raise InvalidHeader(f"The header `{name}` has more than {MAX_TAGS} tags.", param=name)
        labels.put_tag(key, value, role.rank)


def _read_tag(labels: _Labels, role: Role, _name: str, text: str) -> None:
    labels.put_tag(adapt_id(role.argument), _adapt_value(text), role.rank)


def _read_metadata_json(labels: _Labels, role: Role, _name: str, text: str) -> None:
    try:
        metadata = msgspec.json.decode(text.encode("utf-8", "surrogatepass"), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # another gateway's header: not ours to refuse
    _read_metadata(labels, metadata, role.rank)


def _read_metadata(labels: _Labels, metadata: Mapping[str, Any], rank: int) -> None:
    for key, value in islice(metadata.items(), MAX_METADATA_ENTRIES):
        if isinstance(value, bool | int | float):
            value = str(value).lower()  # noqa: PLW2901 -- numbers and flags are tags as good as words
        if not isinstance(value, str) or not value:
            continue
        label = _METADATA_LABELS.get(key)
        if label is None:
            labels.put_tag(adapt_id(key), _adapt_value(value), rank)
        elif label == "user" and value.startswith("{"):
            _read_claude_code(labels, value, rank)
        else:
            labels.put(label, rank, adapt_id(value))


def _read_claude_code(labels: _Labels, text: str, rank: int) -> None:
    """Claude Code's `metadata.user_id` is JSON with ids of the session, the account and the device."""
    try:
        ids = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        labels.put("user", rank, adapt_id(text))
        return
    if isinstance(session := ids.get("session_id"), str) and session:
        labels.put("session", min(rank, 3), adapt_id(session))
    user = ids.get("account_uuid") or ids.get("device_id")
    if isinstance(user, str) and user:
        labels.put("user", rank, adapt_id(user))


def _read_value(labels: _Labels, role: Role, name: str, text: str) -> None:
    try:
        value = parse_usd(text)
    except ValueError as error:
        raise InvalidHeader(f"The header `{name}` must be an amount such as `12.50`: {error}.", param=name) from None
    if not 0 <= value <= MAX_VALUE:
        raise InvalidHeader(f"The header `{name}` must be from 0 to 1000000000 USD.", param=name)
    labels.put("value", role.rank, value)


def _read_priority(labels: _Labels, role: Role, name: str, text: str) -> None:
    if text not in ("low", "normal", "high"):
        raise InvalidHeader(f"The header `{name}` must be `low`, `normal` or `high`.", param=name)
    labels.put("priority", role.rank, text)


def _read_complexity(labels: _Labels, role: Role, name: str, text: str) -> None:
    try:
        complexity = float(text)
    except ValueError:
        complexity = -1.0
    if not 0.0 <= complexity <= 1.0:
        raise InvalidHeader(f"The header `{name}` must be a number from 0 to 1.", param=name)
    labels.put("complexity", role.rank, complexity)


def _read_timeout(labels: _Labels, role: Role, name: str, text: str) -> None:
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = 0.0
    if not 0.0 < timeout_s <= MAX_TIMEOUT_S:
        raise InvalidHeader(f"The header `{name}` must be a number of seconds such as `20`.", param=name)
    labels.put("timeout", role.rank, timeout_s)


def _read_traceparent(labels: _Labels, role: Role, _name: str, text: str) -> None:
    match = _TRACEPARENT.fullmatch(text)
    if match:
        labels.put("run", role.rank, match.group(1))
        labels.put("traceparent", role.rank, text)


def _read_baggage(labels: _Labels, role: Role, _name: str, text: str) -> None:
    for member in text.split(","):
        key, _, value = member.partition(";")[0].partition("=")
        label = _BAGGAGE_LABELS.get(key.strip())
        value = unquote(value.strip())
        if not value or label is None:
            continue
        if label == "session":
            labels.put("session", role.rank, adapt_id(value))
        else:
            labels.put_tag(label, _adapt_value(value), role.rank)


def _read_sdk(labels: _Labels, role: Role, _name: str, text: str) -> None:
    sdk = _sdk_names.get(text)
    if sdk is None:
        match = _SDK.match(text)
        sdk = match.group().split(" ")[0] if match else ""
        if len(_sdk_names) < 1024 and len(text) <= 256:
            _sdk_names[text] = sdk
    if sdk:
        labels.put("sdk", role.rank, sdk)


_sdk_names: dict[str, str] = {}

_READERS = {
    **dict.fromkeys(("run", "parent_run", "step", "session", "user"), _read_id),
    "tags": _read_tags,
    "tag": _read_tag,
    "metadata_json": _read_metadata_json,
    "value": _read_value,
    "priority": _read_priority,
    "complexity": _read_complexity,
    "timeout": _read_timeout,
    "traceparent": _read_traceparent,
    "baggage": _read_baggage,
    "sdk": _read_sdk,
}

_BODY_RANK = 4
_BODY_IDS: Iterable[tuple[str, str]] = (
    ("user", "user"),
    ("safety_identifier", "user"),
    ("session_id", "session"),
    ("prompt_cache_key", "session"),
)


def _read_body(labels: _Labels, body: Mapping[str, msgspec.Raw]) -> None:
    if "metadata" in body:
        metadata = _decoded(body["metadata"])
        if isinstance(metadata, dict):
            _read_metadata(labels, metadata, _BODY_RANK)
    for field, label in _BODY_IDS:
        if field in body:
            value = _decoded(body[field])
            if isinstance(value, str) and value:
                labels.put(label, _BODY_RANK, adapt_id(value))


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
