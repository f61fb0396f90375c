"""Types and keys: a document against its model, with every error at its place.

What is wrong is reported, then dropped, so that the rest can still be checked for missing prices and the like: all
problems appear at once.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.document import Document
from gateway.config.problems import YamlPath, did_you_mean
from gateway.config.variables import Resolved

_MAX_PASSES = 50
_FORM = "@"
"""Begins pydantic's mark for the form, short or long, in which a setting is written."""


@dataclass
class Tree:
    """A document's data, from which parts are dropped. Remembers where the rest was written."""

    document: Document
    root: type[BaseModel]
    """What the whole should be."""
    data: Any
    dropped: set[YamlPath] = field(default_factory=set)
    """As written, not as numbered after the drop."""
    _kept: dict[YamlPath, list[int]] = field(default_factory=dict)

    def written(self, path: YamlPath) -> YamlPath:
        """The path in the file for a path in what is left."""
        result: YamlPath = ()
        for part in path:
            if isinstance(part, int) and result in self._kept and part < len(self._kept[result]):
                part = self._kept[result][part]  # noqa: PLW2901  # the loop variable is what is being translated
            result = (*result, part)
        return result

    def get(self, path: YamlPath) -> Any:
        """What is at `path`; None when there is nothing."""
        node = self.data
        for part in path:
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                return None
        return node

    def has(self, path: YamlPath) -> bool:
        """Whether something is written at `path`."""
        if not path:
            return True
        parent, last = self.get(path[:-1]), path[-1]
        if isinstance(parent, dict):
            return last in parent
        return isinstance(parent, list) and isinstance(last, int) and 0 <= last < len(parent)

    def drop(self, path: YamlPath, *, damage: bool = True) -> None:
        """Remove what is at `path`. It counts as damage unless the caller knows better."""
        if not path or not self.has(path):
            return
        parent, last = self.get(path[:-1]), path[-1]
        written = self.written(path)
        if damage:
            self.dropped.add(written)
        if isinstance(parent, list) and isinstance(last, int):
            self._kept.setdefault(written[:-1], list(range(len(parent)))).pop(last)
        del parent[last]

    def complain(self, path: YamlPath, message: str, *, key: bool = False) -> None:
        """Add a problem at a path in what is left."""
        self.document.complain(self.written(path), message, key=key)

    def warn(self, path: YamlPath, message: str) -> None:
        """Add a warning at a path in what is left."""
        self.document.warn(self.written(path), message)

    def damaged(self, path: YamlPath) -> bool:
        """Whether something at or below `path` was dropped, so that conclusions from what is left may be wrong."""
        written = self.written(path)
        return any(dropped[: len(written)] == written for dropped in self.dropped)


_M = TypeVar("_M", bound=BaseModel)


def report_types(tree: Tree) -> None:
    """Report all wrong types and keys, and drop them."""
    _attempt(tree, tree.root, report=True)


def what_is_left(tree: Tree, root: type[_M]) -> _M:
    """The model of what is left after `report_types`. Follow-up errors are dropped without a word."""
    for _ in range(_MAX_PASSES):
        model = _attempt(tree, root, report=False)
        if model is not None:
            return model
    return root.model_construct()


def _attempt(tree: Tree, root: type[_M], *, report: bool) -> _M | None:
    try:
        return root.model_validate(tree.data)
    except ValidationError as error:
        details = error.errors(include_url=False)
    if report:
        for detail in details:
            _report(tree, detail)
    # From the back, so that the indices of what is still to be dropped stay right.
    for path in sorted(
        {_where(tree, detail) for detail in details}, key=lambda p: [(str(type(x)), x) for x in p], reverse=True
    ):
        tree.drop(path if tree.has(path) else path[:-1])
    return None


def _where(tree: Tree, detail: ErrorDetails) -> YamlPath:
    """The path of an error: pydantic's, without its marks for keys and union members."""
    path: YamlPath = ()
    for part in detail["loc"]:
        if isinstance(part, str) and part.startswith(_FORM) and not tree.has((*path, part)):
            continue
        if part == "[key]" and not tree.has((*path, part)):
            break
        if not tree.has((*path, part)) and detail["type"] != "missing":
            break
        path = (*path, part)
    return path


def _report(tree: Tree, detail: ErrorDetails) -> None:
    path = _where(tree, detail)
    value = tree.get(path)
    if isinstance(value, Resolved) and value.missing:
        return  # the missing variable is the problem, and reported where optional providers are known
    kind = detail["type"]
    if kind == "extra_forbidden":
        choices = _fields(tree.root, path[:-1])
        unknown = f"unknown setting {path[-1]!r}"
        tree.complain(path, unknown + did_you_mean(str(path[-1]), choices), key=True)
    elif kind == "missing":
        tree.complain(path[:-1], f"needs `{path[-1]}`", key=True)
    elif "[key]" in detail["loc"]:
        tree.complain(
            path, f"not a name that can be used here; allowed are {_NAME_RULES.get(str(path[0]), _ID_RULE)}", key=True
        )
    else:
        tree.complain(path, _message(detail, value), key=isinstance(value, dict))


_ID_RULE = "letters, digits and `._:-`, at most 128, a letter or digit first"
_NAME_RULES = {
    "providers": "letters, digits and `._-`, at most 64, a letter or digit first",
    "models": "letters, digits and `._:/@+-`, and `*` in wildcards, at most 200",
}
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "dict_type": "a mapping of names",
    "model_type": "a mapping of settings",
    "model_attributes_type": "a mapping of settings",
    "list_type": "a list",
}
_FOUND = {
    bool: "a true or false",
    int: "a number",
    float: "a number",
    dict: "a mapping",
    list: "a list",
    type(None): "nothing",
}


def _message(detail: ErrorDetails, value: Any) -> str:
    """pydantic's message, in our words where we have better ones. Never contains the value."""
    kind = detail["type"]
    if kind in _EXPECTED:
        found = _FOUND.get(type(value), "text")
        quote = (
            "; quote it if it is meant as text"
            if kind == "string_type" and isinstance(value, bool | int | float)
            else ""
        )
        return f"should be {_EXPECTED[kind]}, not {found}{quote}"
    if kind == "literal_error":
        return f"should be {detail['ctx']['expected']}"
    if kind == "string_pattern_mismatch":
        return f"has characters that are not allowed here, or is too long; the pattern is {detail['ctx']['pattern']}"
    return detail["msg"].removeprefix("Input ")


def _fields(model: type[BaseModel], path: YamlPath) -> list[str]:
    """The settings that exist in the mapping at `path`."""
    here: Any = model
    for part in path:
        here = _step(here, part)
        if here is None:
            return []
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _step(annotation: Any, part: str | int) -> Any:
    """The type of an entry, from the type of what holds it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        known = annotation.model_fields.get(str(part))
        return None if known is None else plain_type(known.annotation)
    arguments = get_args(annotation)
    return plain_type(arguments[-1]) if arguments and get_origin(annotation) in {dict, list} else None


def plain_type(annotation: Any) -> Any:
    """A type without Annotated and Optional around it."""
    if get_origin(annotation) is Annotated:
        return plain_type(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        members = [plain_type(member) for member in get_args(annotation) if member is not type(None)]
        models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
        if len(members) > 1 and len(models) == 1:  # a short form and a long one: what has settings
            return models[0]
        return members[0] if len(members) == 1 else annotation
    return annotation
