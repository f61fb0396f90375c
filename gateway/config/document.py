"""YAML into plain data, with the place of every key and value.

Read from PyYAML's events rather than through its constructors, because we want what those do not give: places,
duplicate keys as errors, bounded depth and size, and scalars that mean what people expect (`on`, `no` and `0.10` as
YAML 1.1 reads them, but dates, octal and base-60 numbers stay text).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway.config.problems import Place, Problem, YamlPath, dotted

MAX_DEPTH = 50
MAX_NODES = 200_000
"""Bounds what aliases of aliases can blow up to."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None}
_WORDS |= dict.fromkeys(("true", "yes", "on"), True) | dict.fromkeys(("false", "no", "off"), False)
_WORDS |= {form: value for word, value in list(_WORDS.items()) for form in (word.capitalize(), word.upper())}
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
_MAX_NUMBER = 40


@dataclass
class Document:
    """One YAML file, or several merged ones."""

    file: Path
    data: Any = None
    values: dict[YamlPath, Place] = field(default_factory=dict)
    keys: dict[YamlPath, Place] = field(default_factory=dict)
    """Where the key of a mapping's entry is written."""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    """What is allowed, and probably not meant."""

    def place(self, path: YamlPath, *, key: bool = False) -> Place:
        """Where `path` is written: its value, or its key; the nearest parent when it is not written at all."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        while path:
            if (place := first.get(path) or second.get(path)) is not None:
                return place
            path = path[:-1]
            first, second = self.keys, self.values
        return self.values.get((), Place(self.file, 1, 1))

    def complain(self, path: YamlPath, message: str, *, key: bool = False) -> None:
        """Add a problem at `path`."""
        self.problems.append(Problem(*self.place(path, key=key), dotted(path), message))

    def warn(self, path: YamlPath, message: str) -> None:
        """Add a warning at `path`."""
        self.warnings.append(Problem(*self.place(path), dotted(path), message))


@dataclass
class _Node:
    """A node of the file; aliases share it."""

    place: Place
    value: str | list[_Node] | list[tuple[_Node, _Node]]
    mapping: bool = False
    plain: bool = False


class _Stop(Exception):
    """Reading cannot go on; the problem is recorded."""


def parse(text: str, file: Path, resolve: Callable[[str], str] = str) -> Document:
    """Read a YAML file; what is wrong with it is in `problems`. `resolve` follows the references in a scalar's text."""
    document = Document(file)
    try:
        root = _Composer(text, document).document()
        _Builder(document, resolve).build(root, ())
    except _Stop:
        document.data = None
    return document


class _Composer:
    """Events into nodes."""

    def __init__(self, text: str, document: Document) -> None:
        self._document = document
        self._events = self._read(text)
        self._anchors: dict[str, _Node] = {}

    def _read(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Place(self._document.file, mark.line + 1, mark.column + 1) if mark else None
            self._fail(place, f"not YAML: {error.problem or error.context or 'unreadable'}")
        except yaml.YAMLError:
            self._fail(None, "not YAML: a character that YAML does not allow")

    def _fail(self, place: Place | None, message: str) -> None:
        self._document.problems.append(Problem(*(place or Place(self._document.file, 1, 1)), "", message))
        raise _Stop

    def document(self) -> _Node:
        root: _Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._fail(self._place(event), "a second YAML document; one file holds one")
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, 0)
        return root or _Node(Place(self._document.file, 1, 1), [], mapping=True)

    def _place(self, event: Any) -> Place:
        return Place(self._document.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, depth: int) -> _Node:
        place = self._place(event)
        if depth > MAX_DEPTH:
            self._fail(place, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            anchor = event.anchor or ""
            if anchor not in self._anchors:
                self._fail(place, f"no anchor '&{anchor}' before this alias")
            return self._anchors[anchor]
        if event.tag not in {None, "!", "tag:yaml.org,2002:str"}:
            self._fail(place, "YAML tags are not used here")
        node = _Node(place, "")
        if isinstance(event, yaml.ScalarEvent):
            node.value = event.value
            node.plain = bool(event.implicit[0])
        elif isinstance(event, yaml.SequenceStartEvent):
            node.value = [self._node(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
        else:
            node.mapping = True
            node.value = [
                (self._node(key, depth + 1), self._node(next(self._events), depth + 1))
                for key in self._until(yaml.MappingEndEvent)
            ]
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _until(self, end: type) -> Iterator[Any]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event


class _Builder:
    """Nodes into data and places."""

    def __init__(self, document: Document, resolve: Callable[[str], str]) -> None:
        self._document = document
        self._resolve = resolve
        self._nodes = 0

    def build(self, root: _Node, path: YamlPath) -> None:
        self._document.data = self._value(root, path)

    def _value(self, node: _Node, path: YamlPath) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._document.problems.append(Problem(*node.place, dotted(path), f"more than {MAX_NODES} values"))
            raise _Stop
        self._document.values[path] = node.place
        if node.mapping:
            return self._mapping(node, path)
        if isinstance(node.value, list):
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value) if isinstance(item, _Node)]
        resolved = self._resolve(node.value)
        return _scalar(resolved) if node.plain and resolved is node.value else resolved

    def _mapping(self, node: _Node, path: YamlPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[_Node] = []
        for key, value in _pairs(node):
            if not isinstance(key.value, str) or key.mapping:
                self._document.problems.append(Problem(*key.place, dotted(path), "a key must be text"))
                continue
            if key.plain and key.value == "<<":
                merged += value.value if isinstance(value.value, list) and not value.mapping else [value]  # type: ignore[arg-type]  # a list of a sequence holds nodes
                continue
            here = (*path, key.value)
            if key.value in result:
                message = f"{key.value!r} is already defined at line {self._document.keys[here].line}"
                self._document.problems.append(Problem(*key.place, dotted(here), message))
                continue
            self._document.keys[here] = key.place
            result[key.value] = self._value(value, here)
        for base in merged:
            self._merge(base, path, result)
        return result

    def _merge(self, base: _Node, path: YamlPath, result: dict[str, Any]) -> None:
        """What `<<` brings in; keys that are there already stay."""
        if not base.mapping:
            self._document.problems.append(Problem(*base.place, dotted(path), "<< takes a mapping, or a list of them"))
            return
        for key, value in _pairs(base):
            if isinstance(key.value, str) and key.value not in result:
                here = (*path, key.value)
                self._document.keys[here] = key.place
                result[key.value] = self._value(value, here)


def _pairs(node: _Node) -> Iterator[tuple[_Node, _Node]]:
    for pair in node.value:
        if isinstance(pair, tuple):
            yield pair


def _scalar(text: str) -> Any:
    """What an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= _MAX_NUMBER:
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text
