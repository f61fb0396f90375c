"""LiteLLM's `model_list`, aliases and fallbacks as our models."""

from __future__ import annotations

import re
from typing import Any

from gateway.config.litellm.balancing import PARAMS, capacity_of, weights_of
from gateway.config.litellm.notes import Notes
from gateway.config.litellm.prices import RATES, table_price, written_price
from gateway.config.litellm.providers import KNOWN, Providers
from gateway.config.problems import YamlPath
from gateway.pricing.table import PriceTable

_MODEL_NAME = re.compile(r"[A-Za-z0-9@*][A-Za-z0-9._:/@+*-]{0,199}")
_PARAMS = (
    frozenset(
        {
            "model",
            "api_key",
            "api_base",
            "api_version",
            "base_url",
            "custom_llm_provider",
            "extra_headers",
            "headers",
            "organization",
            "timeout",
        }
    )
    | frozenset(RATES)
    | PARAMS
)
_ABILITIES = {
    "supports_function_calling": "tools",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_vision": "vision",
    "supports_response_schema": "json_schema",
}
_INFO = frozenset({"id", "mode", "base_model", "max_input_tokens", "max_output_tokens", "max_tokens"}) | frozenset(
    (*RATES, *_ABILITIES)
)


class Models:
    """Our models, from LiteLLM's entries: entries of one name are its deployments."""

    def __init__(self, providers: Providers, notes: Notes, table: PriceTable) -> None:
        self._providers = providers
        self._notes = notes
        self._table = table
        self._known: dict[str, dict[str, Any]] = {}
        """Deployments by provider and model: all models share the first one's settings."""
        self.deployments: dict[str, list[dict[str, Any]]] = {}
        self._shares: dict[str, list[dict[str, Any]]] = {}
        """`litellm_params` of a model's own deployments; those of its fallbacks follow, and have none."""
        self.aliases: dict[str, list[str]] = {}

    def add(self, path: YamlPath, entry: Any) -> None:
        """Translate one entry of `model_list`."""
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        name = entry.get("model_name") if isinstance(entry, dict) else None
        if not isinstance(params, dict) or not isinstance(params.get("model"), str) or not isinstance(name, str):
            self._notes.add(path, "not a model: needs `model_name` and `litellm_params.model`")
            return
        if not _MODEL_NAME.fullmatch(name) or name.count("*") > 1:
            self._notes.add((*path, "model_name"), "not a name that can be used here; the deployment was left out")
            return
        at = (*path, "litellm_params")
        split = self._providers.split(at, params)
        if split is None:
            return
        prefix, model = split
        if model.count("*") != name.count("*"):
            self._notes.add((*at, "model"), "`*` must be in both names or in neither; the deployment was left out")
            return
        self._note_the_rest(path, entry, params)
        deployment = self._deployment(path, entry, prefix, model)
        if deployment is not None:
            self._append(path, name, deployment, params)

    def _append(self, path: YamlPath, name: str, deployment: dict[str, Any], params: dict[str, Any]) -> None:
        known = self.deployments.setdefault(name, [])
        if any(_same(other, deployment) for other in known):
            self._notes.add(path, "the same provider and model as an earlier entry of this name; left out")
        elif known and "*" in name:
            self._notes.add(path, "a wildcard has one deployment; this further one was left out")
        else:
            known.append(deployment)
            self._shares.setdefault(name, []).append(params)

    def _note_the_rest(self, path: YamlPath, entry: dict[str, Any], params: dict[str, Any]) -> None:
        self._notes.unknown(path, entry, frozenset({"model_name", "litellm_params", "model_info"}))
        self._notes.unknown((*path, "litellm_params"), params, _PARAMS)
        info = entry.get("model_info")
        if isinstance(info, dict):
            self._notes.unknown((*path, "model_info"), info, _INFO)

    def _deployment(self, path: YamlPath, entry: dict[str, Any], prefix: str, model: str) -> dict[str, Any] | None:
        params = entry["litellm_params"]
        written = entry.get("model_info")
        info = written if isinstance(written, dict) else {}
        provider = self._providers.find((*path, "litellm_params"), prefix, params)
        deployment: dict[str, Any] = {"provider": provider, "model": model.replace("${", "$${")}
        price = written_price({**info, **params})
        if price is None and "*" not in model:
            price = self._missing_price(path, provider, prefix, model)
            if price is None and not self._priced(provider, model):
                message = "no price is known, so the deployment was left out: add it with `price:`"
                self._notes.add((*path, "litellm_params", "model"), message)
                return None
        elif price is None and KNOWN[prefix].free:
            price = {"input": "0", "output": "0"}
        if price is not None:
            deployment["price"] = price
        for theirs, ours in (("max_input_tokens", "context_tokens"), ("max_output_tokens", "max_output_tokens")):
            if isinstance(info.get(theirs), int) and not isinstance(info[theirs], bool) and info[theirs] > 0:
                deployment[ours] = info[theirs]
        cannot = [ours for theirs, ours in _ABILITIES.items() if info.get(theirs) is False]
        if cannot:
            deployment["cannot"] = cannot
        capacity = None if "*" in model else capacity_of((*path, "litellm_params"), params, self._notes)
        if capacity is not None:
            deployment["capacity"] = capacity
        first = self._known.setdefault(f"{provider}/{model}", deployment)
        if first != deployment:
            self._notes.add(path, "its price or limits differ from those of an earlier entry, which were kept")
        return first

    def _priced(self, provider: str, model: str) -> bool:
        entry = self._providers.written[provider]
        return self._table.find(entry.get("price_provider") or provider, model, entry["base_url"]) is not None

    def _missing_price(self, path: YamlPath, provider: str, prefix: str, model: str) -> dict[str, str] | None:
        """A price for what our table does not know; None when it does, or nobody does."""
        if self._priced(provider, model):
            return None
        at = (*path, "litellm_params", "model")
        if KNOWN[prefix].free:
            self._notes.add(at, "has no price: written as free, as LiteLLM takes it; correct its `price` if it is not")
            return {"input": "0", "output": "0"}
        price = table_price(prefix, model)
        if price is not None:
            self._notes.add(at, "its price was taken from LiteLLM's table")
        return price

    def alias(self, path: YamlPath, alias: str, target: Any) -> None:
        """Translate one entry of `model_group_alias`."""
        name = target.get("model") if isinstance(target, dict) else target
        taken = alias in self.deployments or any(alias in others for others in self.aliases.values())
        if not isinstance(name, str) or name not in self.deployments or "*" in name:
            self._notes.add(path, "its model is not among the translated ones; the alias was left out")
        elif taken or "*" in alias or not _MODEL_NAME.fullmatch(alias):
            self._notes.add(path, "not a name that can be used here, or one that is taken; the alias was left out")
        else:
            self.aliases.setdefault(name, []).append(alias)

    def fallback(self, path: YamlPath, name: str, fallbacks: Any) -> None:
        """Translate one model's fallbacks: their deployments follow its own."""
        if name not in self.deployments or "*" in name or not isinstance(fallbacks, list):
            self._notes.add(path, "not a translated model, or not a list; the fallback was left out")
            return
        before = {own: list(deployments) for own, deployments in self.deployments.items()}
        for index, fallback in enumerate(fallbacks):
            if not isinstance(fallback, str) or fallback not in before or "*" in fallback:
                self._notes.add((*path, index), "not a translated model; the fallback was left out")
                continue
            own = self.deployments[name]
            own += [d for d in before[fallback] if not any(_same(d, other) for other in own)]
        self._notes.add(path, "became further deployments of the model, for when its own cannot be called")

    def written(self, strategy: str) -> dict[str, Any]:
        """The `models` section. `strategy`: of models with several deployments of their own."""
        models: dict[str, Any] = {}
        for name, deployments in self.deployments.items():
            entry: dict[str, Any] = {"aliases": self.aliases[name]} if name in self.aliases else {}
            if len(deployments) == 1:
                entry |= deployments[0]
            elif strategy == "ordered" or len(self._shares[name]) == 1:
                entry["deployments"] = deployments
            else:
                entry["strategy"] = strategy
                entry["deployments"] = _weighted(deployments, weights_of(self._shares[name], strategy))
            models[name] = entry
        return models


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["provider"] == other["provider"] and one["model"] == other["model"])


def _weighted(deployments: list[dict[str, Any]], weights: list[int]) -> list[dict[str, Any]]:
    """Deployments with their weights; those beyond them are for fallbacks only."""
    weights = [*weights, *[0] * (len(deployments) - len(weights))]
    return [
        deployment if weight == 1 else {**deployment, "weight": weight}
        for deployment, weight in zip(deployments, weights, strict=True)
    ]
