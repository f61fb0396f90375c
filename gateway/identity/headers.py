"""What each request header means: identity, a label, something to keep from the provider, or none of these.

The table is that of docs/attribution.md, section "Headers". A header's role is looked up once per name and remembered
(in a bounded table: clients choose the names).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

FORWARD: Final = "forward"
DROP: Final = "drop"


class Role(NamedTuple):
    """What a header is for."""

    kind: str
    """`forward`, `drop`, or the label it sets: `run`, `parent_run`, `step`, `session`, `user`, `tags`, `tag`,
    `metadata_json`, `value`, `priority`, `complexity`, `timeout`, `traceparent`, `baggage`, `sdk`."""
    rank: int = 0
    """Precedence: the lowest rank wins, the first of equals."""
    argument: str = ""
    """For `tag`: the tag's name."""
    strict: bool = False
    """True for headers that are meant for Farebox: a value of the wrong form is refused, not adapted."""


_FORWARD = Role(FORWARD)
_DROP = Role(DROP)

_HOP_BY_HOP_AND_OURS = (
    "connection proxy-connection keep-alive te trailer transfer-encoding upgrade proxy-authenticate "
    "proxy-authorization host content-length expect accept-encoding authorization x-api-key api-key x-goog-api-key "
    "cookie forwarded via x-real-ip x-client-ip x-cluster-client-ip true-client-ip fastly-client-ip origin referer "
    "accept-language openai-organization openai-project x-request-id tracestate cache-control pragma dnt http2-settings"
)
_OF_A_BODY_THAT_MAY_CHANGE = "content-encoding content-md5 digest content-digest"
_ASKING_FOR_SOMETHING_ELSE = "x-http-method x-http-method-override x-method-override x-original-url x-rewrite-url"
"""Servers that heed these would do another thing than was governed."""
_DROPPED = " ".join((_HOP_BY_HOP_AND_OURS, _OF_A_BODY_THAT_MAY_CHANGE, _ASKING_FOR_SOMETHING_ELSE))

KNOWN_HEADERS: Mapping[bytes, Role] = {
    **{name.encode(): _DROP for name in _DROPPED.split()},
    # 1: ours
    b"x-farebox-run": Role("run", 1, strict=True),
    b"x-farebox-parent-run": Role("parent_run", 1, strict=True),
    b"x-farebox-step": Role("step", 1, strict=True),
    b"x-farebox-session": Role("session", 1, strict=True),
    b"x-farebox-user": Role("user", 1, strict=True),
    b"x-farebox-tags": Role("tags", 1, strict=True),
    b"x-farebox-value-usd": Role("value", 1, strict=True),
    b"x-farebox-priority": Role("priority", 1, strict=True),
    b"x-farebox-complexity": Role("complexity", 1, strict=True),
    b"x-farebox-timeout-s": Role("timeout", 1, strict=True),
    # 2: what other gateways' clients already send
    b"x-litellm-tags": Role("tags", 2),
    b"x-litellm-trace-id": Role("run", 2),
    b"x-litellm-session-id": Role("session", 2),
    b"x-litellm-end-user-id": Role("user", 2),
    b"x-portkey-metadata": Role("metadata_json", 2),
    b"x-portkey-trace-id": Role("run", 2),
    b"helicone-session-id": Role("session", 2),
    b"helicone-session-path": Role("tag", 2, "session_path"),
    b"helicone-user-id": Role("user", 2),
    b"cf-aig-metadata": Role("metadata_json", 2),
    # 3: session conventions
    b"x-session-id": Role("session", 3),
    b"session-id": Role("session", 3),
    b"session_id": Role("session", 3),
    b"thread-id": Role("session", 3),
    # 5: W3C trace context
    b"traceparent": Role("traceparent", 5),
    b"baggage": Role("baggage", 5),
    # 6: only for the SDK's name
    b"user-agent": Role("sdk", 6),
    b"content-type": _DROP,  # the gateway writes its own
    b"accept": _FORWARD,
}
"""Headers with a role of their own; docs/attribution.md lists those that are labels."""

_ROLES = dict(KNOWN_HEADERS)
_REMEMBERED_NAMES = 4096
_REMEMBERED_CHARS = 64
_OTHERS_PREFIXES = (
    *(b"x-farebox-", b"x-litellm-", b"x-portkey-", b"helicone-"),
    *(b"cf-", b"sec-", b"proxy-", b"x-forwarded-", b"x-original-forwarded-"),
)
"""What only gateways, proxies and browsers have a use for."""


def role_of(name: bytes) -> Role:
    """The role of a header, by its lower-case name."""
    role = _ROLES.get(name)
    if role is None:
        role = _role_by_shape(name)
        if len(_ROLES) < _REMEMBERED_NAMES and len(name) <= _REMEMBERED_CHARS:
            _ROLES[name] = role
    return role


def _role_by_shape(name: bytes) -> Role:
    if name.startswith(b"helicone-property-"):
        return Role("tag", 2, name[len(b"helicone-property-") :].decode("latin-1"))
    if name.startswith(b"x-") and name.endswith(b"-session-id"):
        return Role("session", 3)
    if name.startswith(_OTHERS_PREFIXES):
        return _DROP
    return _FORWARD
