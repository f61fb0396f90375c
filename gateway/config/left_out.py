"""Variables that are not set: an error, unless only optional providers need them, which are then left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.config.models.base import as_flag
from gateway.config.problems import YamlPath
from gateway.config.validate import Tree
from gateway.config.variables import Resolved

_PREFIX = "optional provider "


class LeftOut:
    """What one configuration does without. Made before anything is dropped from the tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.reasons: dict[str, list[str]] = {}
        """Why, by provider."""
        self.models: dict[str, set[str]] = {}
        """Models without any deployment left, each with the providers that it lacks."""
        missing = list(_missing(tree.data, ()))
        for path, reason in missing:
            if path[0] == "providers" and len(path) > 1 and as_flag(tree.get((*path[:2], "optional"))) is True:
                self.reasons.setdefault(str(path[1]), []).append(reason)
        for path, reason in missing:
            if not self._excused(path):
                tree.complain(path, reason)

    def _excused(self, path: YamlPath) -> bool:
        """Whether what is at `path` is left out anyway."""
        if path[0] == "providers" and len(path) > 1:
            return path[1] in self.reasons
        if path[0] != "models":
            return False
        owner = path[:4] if path[2:3] == ("deployments",) else path[:2]
        provider = self._tree.get((*owner, "provider"))
        return isinstance(provider, str) and provider in self.reasons

    def prune(self) -> None:
        """Drop the providers, the deployments at them, and models without any other."""
        for provider in self.reasons:
            self._tree.drop(("providers", provider), damage=False)
        models = self._tree.get(("models",))
        for name, model in list(models.items()) if isinstance(models, dict) else ():
            if isinstance(model, dict):
                self._prune_model(name, model)

    def _prune_model(self, name: str, model: dict[str, Any]) -> None:
        deployments = model.get("deployments")
        lacking: set[str] = set()
        if not isinstance(deployments, list):
            provider = model.get("provider")
            if isinstance(provider, str) and provider in self.reasons:
                lacking.add(provider)
        else:
            for index in reversed(range(len(deployments))):
                provider = deployments[index].get("provider") if isinstance(deployments[index], dict) else None
                if isinstance(provider, str) and provider in self.reasons:
                    lacking.add(str(provider))
                    self._tree.drop(("models", name, "deployments", index), damage=False)
        if lacking and not deployments:
            self.models[name] = lacking
            self._tree.drop(("models", name), damage=False)

    def lines(self) -> tuple[str, ...]:
        """One line per provider, for the log."""
        return tuple(self._line(provider, reasons) for provider, reasons in self.reasons.items())

    def _line(self, provider: str, reasons: list[str]) -> str:
        models = [name for name, lacking in self.models.items() if provider in lacking]
        with_it = f"; with it go the models {', '.join(models)}" if models else ""
        return f"{_PREFIX}{provider} left out: {', '.join(dict.fromkeys(reasons))}{with_it}"


def sum_up(lines: Sequence[str]) -> str | None:
    """All of `LeftOut.lines` in one, for a start: `farebox check` has them at length."""
    if len(lines) < 2:
        return lines[0] if lines else None
    names = ", ".join(line.removeprefix(_PREFIX).partition(" ")[0] for line in lines)
    what = f"{len(lines)} optional providers left out, with the models that only they have: {names}"
    return f"{what}; `farebox check` says what each lacks"


def _missing(data: Any, path: YamlPath) -> Iterator[tuple[YamlPath, str]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _missing(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _missing(value, (*path, index))
    elif isinstance(data, Resolved) and data.missing:
        yield path, data.missing
