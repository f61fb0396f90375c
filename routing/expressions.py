"""What a checked CEL expression says: its tree, and the variables in it. Pure.

CEL's library compiles and evaluates, and gives the tree only in serialized form: `cel.expr.CheckedExpr`, see
https://github.com/google/cel-spec/blob/master/proto/cel/expr/checked.proto and syntax.proto. So little of it is needed
that its few fields are read here, rather than through a dependency on protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # wire types
_ANY_VALUE: Final = 2
_REFERENCES, _EXPR = 2, 4  # of CheckedExpr
_CONST, _IDENT, _SELECT, _CALL, _LIST = 3, 4, 5, 6, 7  # of Expr


class Const(NamedTuple):
    """A literal. Numbers, which nothing here asks for, are None."""

    value: str | bool | None


class Ident(NamedTuple):
    """A variable: `agent`, `run.steps`."""

    name: str


class Select(NamedTuple):
    """`operand.field`, or `has(operand.field)`."""

    operand: Node
    field: str
    test: bool


class Call(NamedTuple):
    """A function or operator: `_&&_`, `_==_`, `@in`, `_[_]`, `startsWith`. A receiver is the first argument."""

    function: str
    args: tuple[Node, ...]


class ListOf(NamedTuple):
    """`[a, b]`."""

    items: tuple[Node, ...]


class Other(NamedTuple):
    """Something that is not looked into: a map, a message, a comprehension."""


Node = Const | Ident | Select | Call | ListOf | Other


class Expression(NamedTuple):
    """A checked expression."""

    root: Node
    names: frozenset[str]
    """All variables in it, those that it declares itself too."""


def read(serialized: bytes) -> Expression:
    """The expression that CEL's library serialized."""
    checked = _last(_last(serialized, _ANY_VALUE), _EXPR)
    names = frozenset(
        _last(_last(entry, 2), 1).decode()
        for entry in _all(_last(serialized, _ANY_VALUE), _REFERENCES)
        if not _all(_last(entry, 2), 3)  # a function's reference names its overloads
    )
    return Expression(_node(checked), names)


def conjuncts(node: Node) -> Iterator[Node]:
    """The parts of `a && b && c`; all of anything else."""
    if isinstance(node, Call) and node.function == "_&&_":
        for part in node.args:
            yield from conjuncts(part)
    else:
        yield node


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it that is looked into."""
    yield node
    below: tuple[Node, ...] = ()
    if isinstance(node, Call):
        below = node.args
    elif isinstance(node, ListOf):
        below = node.items
    elif isinstance(node, Select):
        below = (node.operand,)
    for child in below:
        yield from walk(child)


def _node(data: bytes) -> Node:
    for number, value in _fields(data):
        if isinstance(value, int):
            continue
        if number == _CONST:
            return _const(value)
        if number == _IDENT:
            return Ident(_last(value, 1).decode())
        if number == _SELECT:
            test = any(field == 3 for field, _ in _fields(value))
            return Select(_node(_last(value, 1)), _last(value, 2).decode(), test)
        if number == _CALL:
            args = [*_all(value, 1), *_all(value, 3)]
            return Call(_last(value, 2).decode(), tuple(_node(arg) for arg in args))
        if number == _LIST:
            return ListOf(tuple(_node(item) for item in _all(value, 1)))
    return Other()


def _const(data: bytes) -> Const:
    for number, value in _fields(data):
        if number == 2:
            return Const(bool(value))
        if number == 6 and isinstance(value, bytes):
            return Const(value.decode())
    return Const(None)


def _last(data: bytes, number: int) -> bytes:
    """A field that is written once; empty when it is not there."""
    found = _all(data, number)
    return found[-1] if found else b""


def _all(data: bytes, number: int) -> list[bytes]:
    return [value for field, value in _fields(data) if field == number and isinstance(value, bytes)]


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message, in protobuf's wire format: https://protobuf.dev/programming-guides/encoding/."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire, number = key & 7, key >> 3
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
        elif wire == _BYTES:
            length, at = _varint(data, at)
            yield number, data[at : at + length]
            at += length
        elif wire in {_DOUBLE, _FLOAT}:
            at += 8 if wire == _DOUBLE else 4
        else:
            raise ValueError("not protobuf's wire format")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
