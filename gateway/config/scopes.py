"""Scopes as people write them: `global`, `team:research`, `user:*`, `tag:feature=search`. Pure."""

from __future__ import annotations

import re
from typing import Final, get_args

from gateway.config.problems import did_you_mean
from gateway.ledger.scopes import EACH, Scope, ScopeKind

KINDS: Final = get_args(ScopeKind)
EXAMPLES: Final = "`global`, `team:research`, `user:*` or `tag:feature=search`"

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MODEL = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._:/@+-]{0,199}")
_RUN = re.compile(r"[A-Za-z0-9._:-]{1,128}/[A-Za-z0-9._:-]{1,128}")
_DEPLOYMENT = re.compile(r"[A-Za-z0-9._-]{1,64}/[^\s*|]{1,256}")
_MAX_TAG_VALUE = 256


def parse_scope(text: str) -> Scope:
    """The scope that `text` stands for. Raises ValueError with what is wrong, in the words of a problem."""
    kind, colon, value = text.partition(":")
    if kind not in KINDS:
        raise ValueError(f"no scope begins with {kind[:40]!r}{did_you_mean(kind, KINDS)}" if colon else _NO_SCOPE)
    if kind == "global":
        if colon:
            raise ValueError("`global` has no value: it is every request")
        return Scope("global")
    if kind == "tag":
        return _tag(value)
    if not value:
        raise ValueError(f"says not which {kind}: write `{kind}:<name>`, or `{kind}:*` for a counter of each")
    if value != EACH:
        _check_value(kind, value)
    return Scope(kind, value)  # type: ignore[arg-type]  # one of KINDS, as checked above


_NO_SCOPE = f"not a scope; examples are {EXAMPLES}"


def _tag(text: str) -> Scope:
    name, equals, value = text.partition("=")
    if not _ID.fullmatch(name) or not equals or not value:
        raise ValueError("a tag's scope is `tag:<name>=<value>`, or `tag:<name>=*` for a counter of each value")
    if value != EACH and (len(value) > _MAX_TAG_VALUE or not value.isprintable() or "|" in value):
        raise ValueError(f"a tag's value is at most {_MAX_TAG_VALUE} printable characters, without `|`")
    return Scope("tag", value, name)


def _check_value(kind: str, value: str) -> None:
    if EACH in value:
        raise ValueError(f"`*` stands alone: `{kind}:*` keeps a counter of each; a part of a name cannot be left open")
    if kind == "run":
        if not _RUN.fullmatch(value):
            raise ValueError("a run's scope is `run:*` for each run, or `run:<agent>/<run>` for one")
    elif kind == "deployment":
        if not _DEPLOYMENT.fullmatch(value) or not value.isprintable():
            raise ValueError(
                "a deployment's scope is `deployment:<provider>/<model>`, the model as the provider calls it"
            )
    elif not (_MODEL if kind == "model" else _ID).fullmatch(value):
        raise ValueError(f"not a name that {'an' if kind[0] in 'ao' else 'a'} {kind} can have")
