"""Conditions of policies, in CEL: type-checked once, when a policy is loaded, and cheap to ask for each request.

CEL (https://cel.dev) is what Kubernetes and Envoy write rules in; the library is its own team's. Only policies with
conditions import this module, because the library takes 10 MB.

The parts of a conjunction that compare `agent`, `team`, `org`, `model` or a tag with texts are also kept as look-ups in
sets: most conditions of a policy concern somebody else's requests, and are then done with before CEL is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Final, Literal, NamedTuple, get_type_hints

from cel_expr_python import cel

from routing.expressions import Call, Const, Expression, Ident, ListOf, Node, Select, conjuncts, read, walk
from routing.rules import Answer, Facts

INDEXED: Final = frozenset(("agent", "team", "org", "model"))
"""Variables that are looked up before CEL is asked; tags are too."""

Subject = Literal["request", "answer"]
_VALUES: Final[dict[Subject, type[Facts] | type[Answer]]] = {"request": Facts, "answer": Answer}
_DOTTED = ("run", "budget")
_FUNCTIONS = (
    "contains",
    "endsWith",
    "exists",
    "all",
    "has",
    "int",
    "double",
    "matches",
    "size",
    "startsWith",
    "string",
)
_FAULT = re.compile(r"ERROR: <input>:(?P<line>-?\d+):(?P<column>-?\d+): (?P<message>[^\n]*)")
_UNDECLARED = re.compile(r"undeclared reference to '(?P<name>[^']*)'")
_OVERLOAD = re.compile(r"found no matching overload for '(?P<function>[^']*)' applied to '\((?P<types>.*)\)'")
_CEL_TYPES: Final[dict[object, tuple[str, Any]]] = {
    str: ("string", cel.Type.STRING),
    float: ("double", cel.Type.DOUBLE),
    int: ("int", cel.Type.INT),
    bool: ("bool", cel.Type.BOOL),
    Mapping[str, str]: ("map(string, string)", cel.Type.Map(cel.Type.STRING, cel.Type.STRING)),
}


class Variable(NamedTuple):
    """What a condition may read."""

    name: str
    """As written: `run.steps`."""
    type: str
    """As CEL calls it: `double`."""
    place: int
    """Its place in `Facts` or `Answer`."""


class Fault(NamedTuple):
    """What is wrong with a condition. Line and column count from 1 within its text."""

    line: int
    column: int
    message: str


class ConditionError(Exception):
    """A condition that cannot be used. `faults` has all that is wrong, at least one."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("; ".join(fault.message for fault in faults))


class _Lookup(NamedTuple):
    """One of these texts is what a part of a conjunction asks for."""

    place: int
    tag: str | None
    """The tag that is meant, where `place` is that of the tags."""
    texts: frozenset[str]


class _Program:
    """A checked expression of some named tuple's values."""

    __slots__ = ("_ask", "_variables", "reads", "tree")

    def __init__(self, text: str, of: Subject) -> None:
        variables = variables_of(of)
        expression = _compile(text, of)
        self._ask = expression.eval
        self.tree: Expression = read(expression.serialize())
        self.reads = frozenset(variables) & self.tree.names
        self._variables = [(name, each.place) for name, each in variables.items() if name in self.reads]

    def result(self, values: Facts | Answer) -> bool | None:
        data: dict[str, Any] = {name: values[place] for name, place in self._variables}
        try:
            result = self._ask(data=data).value()
        except (RuntimeError, TypeError, ValueError, OverflowError):  # a value that CEL cannot hold
            return None
        return result if isinstance(result, bool) else None  # an error is a text


class CompiledCondition:
    """A condition on requests. Not for several threads at once."""

    __slots__ = ("_always_asked", "_lookups", "_program", "compares", "reads", "text")

    def __init__(self, text: str) -> None:
        """Raises ConditionError."""
        self.text = text
        self._program = _Program(text, "request")
        self.reads = self._program.reads
        """The variables it reads, as written."""
        root = self._program.tree.root
        parts = [_lookup(part) for part in conjuncts(root)]
        self._lookups = tuple(part for part in parts if part is not None)
        self._always_asked = None in parts
        self.compares = _comparisons(root)
        """The texts that variables are compared with, by variable: names that should exist."""

    def excludes(self, facts: Facts) -> bool:
        """Whether the look-ups tell that it is not fulfilled. CEL is not asked."""
        for place, tag, texts in self._lookups:
            value: Any = facts[place]
            if (value if tag is None else value.get(tag)) not in texts:
                return True
        return False

    def matches(self, facts: Facts) -> bool | None:
        """Whether it is fulfilled; None when it failed: division by zero, or a tag that the request does not have.

        A tag that is missing is no failure in a part of its own, `tags.feature == "search" && ...`: it is not equal.
        """
        if self._lookups and self.excludes(facts):
            return False
        return self._program.result(facts) if self._always_asked else True


class CompiledAnswerCondition:
    """A condition on answers. Not for several threads at once."""

    __slots__ = ("_program", "text")

    def __init__(self, text: str) -> None:
        """Raises ConditionError."""
        self.text = text
        self._program = _Program(text, "answer")

    def matches(self, answer: Answer) -> bool | None:
        """Whether the answer will do; None when the condition failed at run time."""
        return self._program.result(answer)


@cache
def variables_of(of: Subject) -> dict[str, Variable]:
    """What conditions may read of a request or an answer, by name as written."""
    values = _VALUES[of]
    hints = get_type_hints(values)
    names = [_dotted(field) if of == "request" else f"answer.{field}" for field in values._fields]
    return {
        name: Variable(name, _CEL_TYPES[hints[field]][0], place)
        for place, (name, field) in enumerate(zip(names, values._fields, strict=True))
    }


def _dotted(field: str) -> str:
    prefix, _, rest = field.partition("_")
    return f"{prefix}.{rest}" if prefix in _DOTTED else field


@cache
def _environment(of: Subject) -> Any:
    types = dict(_CEL_TYPES.values())
    return cel.NewEnv(variables={name: types[each.type] for name, each in variables_of(of).items()})


def _compile(text: str, of: Subject) -> Any:
    try:
        expression = _environment(of).compile(text)
    except (RuntimeError, ValueError) as error:
        raise ConditionError(_faults(str(error), text, of)) from None
    if expression.return_type() != cel.Type.BOOL:
        found = expression.return_type().name().lower()
        raise ConditionError([Fault(1, 1, f"a condition is true or false; this is {_article(found)}")])
    return expression


def _lookup(part: Node) -> _Lookup | None:
    """A part that compares an indexed variable or a tag with texts: `agent == "a"`, `tags.b in ["c", "d"]`."""
    if not isinstance(part, Call) or len(part.args) != 2:
        return None
    left, right = part.args
    if part.function == "_==_" and isinstance(left, Const):
        left, right = right, left
    texts = _texts(part.function, right)
    variables = variables_of("request")
    if texts is None:
        return None
    if isinstance(left, Ident) and left.name in INDEXED:
        return _Lookup(variables[left.name].place, None, texts)
    tag = _tag(left)
    return None if tag is None else _Lookup(variables["tags"].place, tag, texts)


def _texts(function: str, right: Node) -> frozenset[str] | None:
    """The texts that the left side is compared with."""
    if function == "_==_" and isinstance(right, Const) and isinstance(right.value, str):
        return frozenset((right.value,))
    if function == "@in" and isinstance(right, ListOf):
        texts = [item.value for item in right.items if isinstance(item, Const) and isinstance(item.value, str)]
        return frozenset(texts) if len(texts) == len(right.items) else None
    return None


def _tag(node: Node) -> str | None:
    """The tag that `tags.name` or `tags["name"]` reads."""
    if isinstance(node, Select) and node.operand == Ident("tags"):
        return node.field
    if isinstance(node, Call) and node.function == "_[_]" and node.args[0] == Ident("tags"):
        key = node.args[1]
        return key.value if isinstance(key, Const) and isinstance(key.value, str) else None
    return None


def _comparisons(root: Node) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for node in walk(root):
        if not isinstance(node, Call) or node.function not in {"_==_", "_!=_", "@in"} or len(node.args) != 2:
            continue
        left, right = node.args
        if isinstance(left, Const):
            left, right = right, left
        texts = _texts("@in" if node.function == "@in" else "_==_", right)
        if isinstance(left, Ident) and texts is not None:
            found[left.name] = found.get(left.name, frozenset()) | texts
    return found


def _faults(error: str, text: str, of: Subject) -> list[Fault]:
    """CEL's complaints, in words for people."""
    faults = [
        Fault(max(1, int(match["line"])), max(1, int(match["column"])), _in_words(match["message"], text, of))
        for match in _FAULT.finditer(error)
    ]
    return list(dict.fromkeys(faults)) or [Fault(1, 1, f"not a condition: {error.partition(' [')[0]}")]


def _in_words(message: str, text: str, of: Subject) -> str:
    if match := _UNDECLARED.match(message):
        return _unknown(match["name"], text, of)
    if match := _OVERLOAD.match(message):
        return _mismatch(match["function"], match["types"])
    if message.startswith("Syntax error: token recognition error at: '="):
        return "`=` is no operator: write `==`"
    if "recursion" in message:
        return "nested too deeply"
    if "mismatched input '<EOF>'" in message:
        return "it ends too early"
    return message.split(" expecting ", maxsplit=1)[0]


def _unknown(name: str, text: str, of: Subject) -> str:
    if re.search(rf"\b{re.escape(name)}\s*\(", text):
        kind, known = "function", list(_FUNCTIONS)
    else:
        kind, known = "variable", sorted(variables_of(of))
    near = [each for each in known if each.startswith(f"{name}.")] or get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there is {', '.join(known)}"
    return f"no {kind} is called {name!r}{hint}"


def _mismatch(function: str, types: str) -> str:
    operator = function.strip("_@").replace("_", "")
    words = list(_split(types))
    if {"int", "double"} == set(words):
        return f"`{operator}` takes two ints or two doubles: beside a double write `100.0`, beside an int `100`"
    return f"`{operator}` does not go with {' and '.join(map(_article, words))}"


def _split(types: str) -> Iterator[str]:
    """The types of a list, at commas outside of brackets."""
    depth, word = 0, ""
    for character in types:
        depth += (character in "(<") - (character in ")>")
        if character == "," and depth == 0:
            yield word.strip()
            word = ""
        else:
            word += character
    yield word.strip()


def _article(word: str) -> str:
    return f"{'an' if word[:1] in 'aeio' else 'a'} {word}"
