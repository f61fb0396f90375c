"""Files of cases: read strictly, and checked against the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.models.cases import Case, CaseFile
from gateway.config.policies import read_tree
from gateway.config.problems import Place, Problem, YamlPath, did_you_mean
from gateway.config.snapshot import Snapshot
from gateway.config.sources import Sources
from gateway.config.validate import Tree, what_is_left
from gateway.config.variables import Resolved, Variables, environment
from routing.router import ASKED
from routing.rules import CompiledPolicy

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Cases:
    """The cases of one file."""

    file: Path
    written: CaseFile
    tree: Tree

    def place(self, index: int) -> Place:
        """Where a case is written."""
        return self.tree.document.place(("cases", index))

    @property
    def policy_file(self) -> Path | None:
        """The file that the cases name their policy by; None when they name it otherwise, or not at all."""
        name = self.written.policy or ""
        return self.file.parent / name if name.endswith((".yaml", ".yml")) else None


def read_cases(files: Iterable[Path]) -> tuple[list[Cases], list[Problem]]:
    """The cases of files, and what is wrong with how they are written."""
    found: list[Cases] = []
    problems: list[Problem] = []
    for file in files:
        tree = read_tree(file, CaseFile, problems)
        if tree is None:
            continue
        cases = Cases(file, what_is_left(tree, CaseFile), tree)
        if cases.policy_file is not None and not cases.policy_file.is_file():
            tree.complain(("policy",), "no such file")
        problems += tree.document.problems
        if not tree.document.problems:
            found.append(cases)
    return found, problems


def check_cases(cases: Cases, policy: CompiledPolicy | None, snapshot: Snapshot) -> list[Problem]:
    """Names in cases that do not exist. `policy` is theirs; None: each agent's own."""
    tree, before = cases.tree, len(cases.tree.document.problems)
    for index, case in enumerate(cases.written.cases):
        own = policy or snapshot.agent_policies.get(case.request.agent)
        for path, kind, name, known in _names(case, own, snapshot):
            if name not in known:
                tree.complain(("cases", index, *path), f"no {kind} is called {name!r}{did_you_mean(name, known)}")
    return tree.document.problems[before:]


def _names(
    case: Case, policy: CompiledPolicy | None, snapshot: Snapshot
) -> Iterator[tuple[YamlPath, str, str, Iterable[str]]]:
    """Everything in a case that names something: where, what it is, its name, and those that exist."""
    models, expect = snapshot.catalog.models, case.expect
    deployments = {each.id for model in models.values() for each in model.deployments}
    tiers = [] if policy is None else [tier.name for tier in policy.tiers]
    rules = [ASKED] if policy is None else [*(rule.name for rule in policy.rules), policy.default.name, ASKED]
    yield ("request", "agent"), "agent", case.request.agent, snapshot.agents
    for key, name in (("model", expect.model), *(("models", name) for name in expect.models or ())):
        if name is not None:
            yield ("expect", key), "model", name, models
    if expect.tier is not None:
        yield ("expect", "tier"), "tier", expect.tier, tiers
    for key, name in (("rule", expect.rule), *(("shadows", name) for name in expect.shadows or ())):
        if name is not None:
            yield ("expect", key), "rule", name, rules
    for name in expect.excluded or ():
        yield ("expect", "excluded", name), "model", name, models
    for name in case.request.quality:
        yield ("request", "quality", name), "model", name, models
    for name in case.request.unwell:
        yield ("request", "unwell"), "model and no deployment", name, {*models, *deployments}
    for name in case.request.latency_s:
        yield ("request", "latency_s", name), "deployment", name, deployments


def without_secrets(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, with a stand-in for each variable that the configuration needs and that is not set.

    Deciding calls nobody, so that cases run where no key of a provider is: in CI.
    """
    resolver = Variables(environment(path.parent / ".env", environ), path.parent)
    names = set(_missing(Sources(path, resolver).document.data))
    return {**environ, **{name: f"http://127.0.0.1:9/{name}" for name in names}}


def _missing(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            yield from _missing(item)
    elif isinstance(data, Resolved) and data.missing:
        yield from _VARIABLE.findall(data.written)
