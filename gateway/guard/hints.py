"""What names, arguments and results tell about a tool call: is it waiting for something, does it only look? Pure.

Words, not knowledge: a guess that is wrong makes a loop found later, or an honest agent be warned. The corpus under
tests/gateway/guard shows how often either happens.
"""

from __future__ import annotations

import re
from typing import Final

MAX_STATUS_BYTES: Final = 600
"""A status or an error is short; a document that has the word "running" in it is none."""
MAX_VOLATILE_BYTES: Final = 8_192
"""Results up to this size are compared without their times and ids; longer ones as they are."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_WAITING = """
    await clock delay health heartbeat inbox listen monitor notifications now pending ping poll polling progress queue
    ready receive refresh retry sleep state status time unread wait watch
"""
_LOOKING = """
    browse cat check describe exists fetch find get glob grep inspect list load lookup ls open peek query read retrieve
    scan search show stat view
"""
_CHANGING = """
    add append apply book cancel commit create delete deploy edit execute insert install merge move post push put remove
    rename replace reset run save send set start stop submit switch update upload write
"""
_WAITING_NAMES, _LOOKING_NAMES, _CHANGING_NAMES = (
    frozenset(names.split()) for names in (_WAITING, _LOOKING, _CHANGING)
)

_SLEEPS = re.compile(rb"\bsleep[ (:\"]|wait[_ ](?:for|until|s\b|seconds)|Start-Sleep", re.IGNORECASE)
_NOT_YET = re.compile(
    rb"\bnot (?:yet|ready|finished|done|complete|available)|\bno (?:new|messages|updates|events)\b|nothing new|"
    rb"\b(?:ready|done|finished|completed?|available|healthy)\W{1,4}(?:false|no\b|0\b)",
    re.IGNORECASE,
)
_UNDER_WAY = re.compile(
    rb"pending|in.progress|running|queued|processing|provisioning|building|starting|waiting|scheduled|submitted|"
    rb"\bstill ",
    re.IGNORECASE,
)
_PASSING = re.compile(
    rb"(?:http|status|error|code)\W{0,4}(?:code)?\W{0,4}(?:408|425|429|500|502|503|504|52[0-9])\b|time.?out|timed out|"
    rb"temporar|try again|\bretry|rate.limit|too many requests|overload|unavailable|throttl|deadlock|econn|"
    rb"connection (?:reset|refused|aborted|error)|(?:gateway|internal server) error|\bbusy\b|\blocked\b",
    re.IGNORECASE,
)
_OVER = re.compile(
    rb"\b(?:completed?|succeeded|success|done|finished|failed|failure|cancell?ed|error|healthy|ready|stopped)\b",
    re.IGNORECASE,
)
_VOLATILE = re.compile(
    rb"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?:Z|[+-][0-9:]{4,6})?)?|"
    rb"\b[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?\b|"
    rb"\b[0-9]+(?:\.[0-9]+)? ?(?:ns|us|\xc2\xb5s|ms|s|sec|secs|seconds|minutes)\b|"
    rb"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b0x[0-9a-f]{6,16}\b|"
    rb"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{12,64}\b"
)
_DIGITS = re.compile(rb"[0-9]+")


def is_waiting(tool: str, arguments: bytes, result: bytes) -> bool:
    """Whether the call, or what came of it, says: come again later. A job still running, an error that passes."""
    if len(result) > MAX_STATUS_BYTES:
        return False
    if _PASSING.search(result) or _NOT_YET.search(result) or _SLEEPS.search(arguments[:MAX_STATUS_BYTES]):
        return True
    if _OVER.search(result):
        return False
    return _UNDER_WAY.search(result) is not None or not _WAITING_NAMES.isdisjoint(_words(tool))


def only_looks(tool: str) -> bool:
    """Whether a tool of this name changes nothing. One whose name says neither may change something."""
    words = _words(tool)
    return not _LOOKING_NAMES.isdisjoint(words) and _CHANGING_NAMES.isdisjoint(words)


def lasting(result: bytes) -> bytes:
    """A result without the times, durations and ids that differ every time although nothing else does."""
    return result if len(result) > MAX_VOLATILE_BYTES else _VOLATILE.sub(b"~", result)


def wording(words: bytes) -> bytes:
    """A user's words without numbers: an agent's own "Step 4 of 20. Go on." is the same every time."""
    return _DIGITS.sub(b"#", words[:MAX_VOLATILE_BYTES])


def _words(tool: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(tool[:128])]
