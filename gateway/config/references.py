"""Names that refer to other names: every one must exist.

Works on the data as written, types not yet checked, so that a reference is reported even inside an entry that is wrong
otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.config.problems import YamlPath, did_you_mean, dotted
from gateway.config.validate import Tree
from gateway.config.variables import Resolved, shown
from gateway.config.wildcards import matches_any
from gateway.ledger.scopes import EACH

IMPLICIT = "default"
"""The org and the team that always exist."""


def check_references(tree: Tree) -> None:
    """Report every dangling reference and every alias that is taken, before anything is dropped from the tree.

    A reference to an entry that is wrong itself, or left out, is not dangling.
    """
    _Check(tree).run()


class _Check:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._models = set(self._section("models"))
        self._aliases = {alias for _, alias in self._texts_of_all("models", "aliases")}

    def run(self) -> None:
        agents = set(self._section("agents"))
        self._references("agents", "team", {*self._section("teams"), IMPLICIT})
        self._references("teams", "org", {*self._section("orgs"), IMPLICIT})
        self._references("keys", "agent", agents)
        self._reference(("anonymous_agent",), "agent", agents)
        self._references("models", "provider", set(self._section("providers")))
        for name in self._section("models"):
            deployments = self._tree.get(("models", name, "deployments"))
            for index in range(len(deployments) if isinstance(deployments, list) else 0):
                path: YamlPath = ("models", name, "deployments", index, "provider")
                self._reference(path, "provider", set(self._section("providers")))
        for section in ("agents", "keys"):
            for path, name in self._texts_of_all(section, "allowed_models"):
                if "*" not in name and not matches_any(name, dict.fromkeys(self._models)):
                    self._reference(path, "model", self._models | self._aliases)
        self._check_aliases()
        for section in ("budgets", "limits"):
            for name in self._section(section):
                self._check_scope((section, name, "scope"))

    def _check_scope(self, path: YamlPath) -> None:
        """What a budget or limit covers, where that is named in this configuration."""
        written = self._tree.get(path)
        kind, _, value = written.partition(":") if isinstance(written, str) else ("", "", "")
        if kind == "deployment" and value and EACH not in value:
            self._check_deployment(path, written, value)
        if kind == "run" and "/" in value:
            kind, value = "agent", value.partition("/")[0]
        if not value or EACH in value or kind not in {"org", "team", "agent", "model", "provider"}:
            return
        known = {*self._section(f"{kind}s"), *([IMPLICIT] if kind in {"org", "team"} else [])}
        if value in known or (kind == "model" and matches_any(value, dict.fromkeys(self._models))):
            return
        shown_value = shown(written) if isinstance(written, Resolved) else value
        if kind == "model" and value in self._aliases:
            self._tree.complain(path, f"{shown_value!r} is an alias; a scope has the model's own name")
        else:
            self._tree.complain(path, f"no {kind} is called {shown_value!r}{did_you_mean(value, known)}")

    def _check_deployment(self, path: YamlPath, written: str, value: str) -> None:
        known = {f"{provider}/{model}" for provider, model in self._deployments()}
        if value not in known and not matches_any(value, dict.fromkeys(known)):
            shown_value = shown(written) if isinstance(written, Resolved) else value
            self._tree.complain(path, f"no deployment is called {shown_value!r}{did_you_mean(value, known)}")

    def _deployments(self) -> Iterator[tuple[Any, Any]]:
        """The provider of each deployment, and its own name for the model."""
        for name, model in self._section("models").items():
            if isinstance(model, dict):
                listed = model.get("deployments")
                for spec in listed if isinstance(listed, list) else [model]:
                    if isinstance(spec, dict):
                        yield spec.get("provider"), spec.get("model") or ("*" if "*" in name else name)

    def _section(self, name: str) -> dict[str, Any]:
        section = self._tree.get((name,))
        return section if isinstance(section, dict) else {}

    def _texts_of_all(self, section: str, setting: str) -> Iterator[tuple[YamlPath, str]]:
        """The texts in a list that every entry of a section may have."""
        for name in self._section(section):
            texts = self._tree.get((section, name, setting))
            for index, text in enumerate(texts if isinstance(texts, list) else ()):
                if isinstance(text, str):
                    yield (section, name, setting, index), text

    def _references(self, section: str, setting: str, known: set[str]) -> None:
        for name in self._section(section):
            self._reference((section, name, setting), setting, known)

    def _reference(self, path: YamlPath, kind: str, known: set[str]) -> None:
        name = self._tree.get(path)
        if not isinstance(name, str) or (isinstance(name, Resolved) and name.missing) or name in known:
            return
        written = shown(name)
        self._tree.complain(path, f"no {kind} is called {written!r}{did_you_mean(written, known)}")

    def _check_aliases(self) -> None:
        taken: dict[str, YamlPath] = {}
        for path, alias in self._texts_of_all("models", "aliases"):
            if "*" in alias:
                self._tree.complain(path, "an alias has no `*`")
            elif alias in self._models:
                self._tree.complain(path, f"{shown(alias)!r} is a model's own name")
            elif alias in taken:
                self._tree.complain(path, f"{shown(alias)!r} is already an alias at {dotted(taken[alias])}")
            else:
                taken[alias] = path
