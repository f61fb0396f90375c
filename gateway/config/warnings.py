"""What a configuration may say but hardly means: it is told, and taken over all the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.config.metering import is_metered
from gateway.config.models import RawConfig
from gateway.config.models.models import Deployment
from gateway.config.problems import YamlPath
from gateway.config.snapshot import Agent
from gateway.config.validate import Tree
from gateway.config.wildcards import matches_any
from gateway.ledger.budgets import Budget, RateLimit
from gateway.ledger.scopes import EACH, Scope
from routing.catalog import Catalog

_NAMED = 5


def find_warnings(
    raw: RawConfig, tree: Tree, catalog: Catalog, agents: Mapping[str, Agent], limits: Iterable[Budget | RateLimit]
) -> None:
    """Add to the tree's warnings. `limits`: budgets, and limits on rates."""
    budgets = [each for each in limits if isinstance(each, Budget)]
    for budget in budgets:
        path: YamlPath = ("budgets", budget.id)
        if not (budget.scope.value == EACH and budget.when_missing == "shared"):
            refused = budget.scope.value == EACH and budget.enforce
            _warn_of_clients(tree, (*path, "scope"), budget.scope, agents, refused=refused)
        if budget.reserve == "calibrated" and not _any_metered(raw, budget.scope, None):
            tree.warn((*path, "reserve"), f"{_NO_EFFECT} in its scope {_DECLARE}")
    _warn_of_groups(raw, tree)
    _warn_of_windows(raw, tree, catalog)
    for limit in limits:
        if isinstance(limit, Budget):
            continue
        _warn_of_clients(tree, ("limits", limit.id, "scope"), limit.scope, agents, refused=False)
    for name, agent in agents.items():
        if agent.reserve == "calibrated" and not _any_metered(raw, Scope("global"), agent.allowed_models):
            tree.warn(("agents", name, "reserve"), f"{_NO_EFFECT} that it may use {_DECLARE}")


_NO_EFFECT = "`calibrated` is `strict` here: no deployment"
_DECLARE = "declares `countable_stream` and `stops_on_disconnect`"


def _warn_of_clients(tree: Tree, path: YamlPath, scope: Scope, agents: Mapping[str, Agent], *, refused: bool) -> None:
    """Users and tags are the client's word: a limit on them binds only where the agent must send them."""
    if scope.kind not in {"user", "tag"}:
        return
    label = f"tag:{scope.tag}" if scope.kind == "tag" else "user"
    free = [name for name, agent in agents.items() if label not in agent.requires]
    if not free:
        return
    names = ", ".join(free[:_NAMED]) + (f" and {len(free) - _NAMED} more" if len(free) > _NAMED else "")
    remedy = f'say `requires: ["{label}"]` there' if scope.kind == "tag" else "say `requires: [user]` there"
    if refused:
        message = f"refuses requests without it (`when_missing: deny`), which these agents need not send: {names}; "
        tree.warn(path, message + remedy + ", or `when_missing: shared` here")
    else:
        message = "binds only where the agent must send it, and these agents need not: "
        tree.warn(path, message + f"{names}; {remedy}")


def _any_metered(raw: RawConfig, scope: Scope, allowed: frozenset[str] | None) -> bool:
    """Whether a deployment that requests in the scope can come to is metered."""
    for name, model in raw.models.items():
        names = [name, *model.aliases]
        if allowed is not None and not any(_overlap(each, other) for each in names for other in allowed):
            continue
        if scope.kind == "model" and scope.value != EACH and not _overlap(name, scope.value):
            continue
        for spec in model.written_deployments():
            if is_metered(spec) and _covers(scope, name, spec):
                return True
    return False


def _covers(scope: Scope, model: str, spec: Deployment) -> bool:
    """Whether a scope of providers or deployments has this one in it; any other kind has."""
    if scope.kind == "deployment":
        name = spec.model or ("*" if "*" in model else model)
        return scope.value == EACH or _overlap(f"{spec.provider}/{name}", scope.value)
    return scope.kind != "provider" or scope.value in {EACH, spec.provider}


def _warn_of_groups(raw: RawConfig, tree: Tree) -> None:
    """Strategies and weights that change nothing."""
    for name, model in raw.models.items():
        path: YamlPath = ("models", name)
        specs = model.written_deployments()
        if model.strategy != "ordered" and len(specs) == 1:
            tree.warn((*path, "strategy"), "has no effect with a single deployment")
        elif model.strategy in {"ordered", "fastest"}:
            for index, spec in enumerate(specs):
                if spec.weight > 1 or (spec.weight == 0 and model.strategy == "ordered"):
                    at: YamlPath = (*path, "deployments", index, "weight")
                    tree.warn(at, f"has no effect under `strategy: {model.strategy}`; `weighted` goes by it")


def _warn_of_windows(raw: RawConfig, tree: Tree, catalog: Catalog) -> None:
    """A deployment of a group whose window nobody knows: what is too long for it goes there all the same."""
    for name in raw.models:
        model = catalog.models.get(name)
        if model is None or len(model.deployments) < 2:
            continue
        unknown = [each.id for each in model.deployments if each.context_tokens is None]
        if unknown:
            tree.warn(
                ("models", name, "deployments"),
                f"it is not known how much {', '.join(unknown[:_NAMED])} can take, so requests of any length go there: "
                "give it `context_tokens`",
            )


def _overlap(one: str, other: str) -> bool:
    """Whether a name or pattern stands for something that another one stands for too."""
    return one == other or matches_any(one, {other: None}) or matches_any(other, {one: None})
