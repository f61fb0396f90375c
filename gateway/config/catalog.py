"""Written models into a `Catalog`, with prices resolved."""

from __future__ import annotations

from gateway.config.limits import build_capacity
from gateway.config.metering import check_metering, declared
from gateway.config.models import RawConfig
from gateway.config.models.models import Deployment as WrittenDeployment
from gateway.config.models.models import Model as WrittenModel
from gateway.config.prices import Priced, Prices
from gateway.config.problems import YamlPath, dotted
from gateway.config.resilience import hedge_settings
from gateway.config.snapshot import Timeouts
from gateway.config.validate import Tree
from gateway.config.wildcards import Pattern, Wildcards
from gateway.ledger.budgets import RateLimit
from routing.balance import LOOKING
from routing.catalog import Catalog, Deployment, Model, WildcardModel


class CatalogBuilder:
    """Builds the catalog of one configuration, and reports what stands against it. Providers are known to exist."""

    def __init__(self, raw: RawConfig, tree: Tree, prices: Prices) -> None:
        self._raw = raw
        self._tree = tree
        self._prices = prices
        self._deployments: dict[str, tuple[YamlPath, WrittenDeployment, Deployment]] = {}
        self.patterns: list[Pattern] = []
        self.timeouts: dict[str, Timeouts] = {}
        """Of deployments that have their own, by id."""
        self.capacities: list[RateLimit] = []
        """Of deployments that have one."""
        self._watched = {
            _id_of(name, spec)
            for name, written in raw.models.items()
            if written.strategy in LOOKING
            for spec in written.written_deployments()
        }

    def build(self) -> tuple[Catalog, Wildcards | None]:
        """The catalog, and what resolves its wildcards."""
        models: dict[str, Model] = {}
        aliases: dict[str, str] = {}
        for name, written in self._raw.models.items():
            if "*" in name:
                self._wildcard(name, written)
                continue
            deployments = tuple(self._all_deployments(name, written))
            if deployments:
                models[name] = Model(
                    name,
                    deployments,
                    owner=deployments[0].provider,
                    hedge=hedge_settings(written.hedge),
                    strategy=written.strategy,
                    weights=self._weights(name, written, len(deployments)),
                )
                aliases |= dict.fromkeys(written.aliases, name)
        resolver = Wildcards(self.patterns, self._prices) if self.patterns else None
        wildcards = tuple(pattern.wildcard for pattern in resolver.patterns) if resolver else ()
        return Catalog(models, aliases, wildcards), resolver

    def _weights(self, name: str, written: WrittenModel, count: int) -> tuple[int, ...]:
        """The deployments' weights; none where all weigh the same."""
        weights = tuple(spec.weight for spec in written.written_deployments())
        if not any(weights):
            self._tree.complain(("models", name, "deployments"), "all of them have `weight: 0`: none would be called")
        return () if len(set(weights)) == 1 or len(weights) != count else weights

    def _all_deployments(self, name: str, written: WrittenModel) -> list[Deployment]:
        found: list[Deployment] = []
        for index, spec in enumerate(written.written_deployments()):
            path: YamlPath = ("models", name)
            price_name = name
            if written.deployments is not None:
                path = (*path, "deployments", index)
                price_name = name if len(written.deployments) == 1 else f"{name}[{index}]"
            deployment = self._deployment(path, price_name, spec, spec.model or name)
            if deployment is None:
                continue
            if any(other.id == deployment.id for other in found):
                self._tree.complain(path, "the same provider and model as an earlier one here", key=True)
            found.append(deployment)
        return found

    def _deployment(self, path: YamlPath, price_name: str, spec: WrittenDeployment, upstream: str) -> Deployment | None:
        """The deployment at `path`; None when it cannot be made, which is then reported (here or before)."""
        provider = self._raw.providers.get(spec.provider)
        if "*" in upstream:
            self._tree.complain((*path, "model"), "only a model with `*` in its own name may have one here")
            return None
        if provider is None:
            return None
        deployment_id = f"{spec.provider}/{upstream}"
        if (earlier := self._deployments.get(deployment_id)) is not None:
            first, first_spec, deployment = earlier
            if _settings(first_spec) != _settings(spec):
                where = dotted(self._tree.written(first))
                message = f"the same provider and model as {where}, with another price or other limits; they must agree"
                self._tree.complain(path, message, key=True)
            return deployment
        check_metering(self._tree, path, spec)
        priced = self._priced(path, price_name, spec, upstream)
        deployment = Deployment(
            id=deployment_id,
            provider=spec.provider,
            upstream_model=upstream,
            price=priced.price,
            unpriced=priced.unpriced,
            context_tokens=priced.context_tokens,
            apis=priced.apis,
            tariff=priced.tariff,
            **declared(spec, provider),
            watched=deployment_id in self._watched,
        )
        if spec.capacity is not None:
            self.capacities.append(build_capacity(deployment_id, spec.capacity))
        if spec.timeouts is not None:
            self.timeouts[deployment_id] = Timeouts(**spec.timeouts.model_dump())
        self._deployments[deployment_id] = (path, spec, deployment)
        return deployment

    def _priced(self, path: YamlPath, price_name: str, spec: WrittenDeployment, upstream: str) -> Priced:
        if self._tree.damaged(path):
            return Priced(None, False, None)  # its price may be what is wrong with it
        provider = self._raw.providers[spec.provider]
        try:
            priced = self._prices.of(price_name, spec, spec.provider, provider, upstream)
        except ValueError as error:
            self._tree.complain((*path, "price"), f"{error}")
            return Priced(None, False, None)
        if priced.price is None and not self._tree.damaged(("providers", spec.provider)):
            self._unpriced(path, spec, upstream)
        return priced

    def _unpriced(self, path: YamlPath, spec: WrittenDeployment, upstream: str) -> None:
        near = self._prices.suggest(upstream)
        hint = f" Models with a price: {', '.join(near)}." if near else ""
        written = self._tree.get((*path, "model"))
        shown = getattr(written, "written", upstream)
        self._tree.complain(
            (*path, "model"),
            f"{shown!r} has no price at {spec.provider!r}: add `price:` with `input` and `output`, "
            f"set the provider's `price_provider`, or set `unpriced:` to a ceiling.{hint}",
        )

    def _wildcard(self, name: str, written: WrittenModel) -> None:
        path: YamlPath = ("models", name)
        specs = written.written_deployments()
        if name.count("*") != 1:
            self._tree.complain(path, "a wildcard has one `*`", key=True)
            return
        if written.aliases:
            self._tree.complain((*path, "aliases"), "a wildcard has no aliases")
        if len(specs) != 1:
            self._tree.complain((*path, "deployments"), "a wildcard has one deployment")
            return
        spec = specs[0]
        at = path if written.deployments is None else (*path, "deployments", 0)
        if spec.capacity is not None:
            self._tree.complain((*at, "capacity"), "a wildcard has none: give the model an entry of its own")
        upstream = spec.model or "*"
        if upstream.count("*") != 1:
            self._tree.complain((*at, "model"), "the model of a wildcard has one `*` too")
            return
        provider = self._raw.providers.get(spec.provider)
        if provider is None:
            return
        check_metering(self._tree, at, spec)
        if spec.price is not None and not self._tree.damaged(at):
            try:
                self._prices.of(name, spec, spec.provider, provider, "any")
            except ValueError as error:
                self._tree.complain((*at, "price"), f"{error}")
        self.patterns.append(Pattern(WildcardModel(name, spec.provider, upstream), spec, provider))


def _id_of(name: str, spec: WrittenDeployment) -> str:
    """The id of a deployment of the model called `name`."""
    return f"{spec.provider}/{spec.model or name}"


def _settings(spec: WrittenDeployment) -> dict[str, object]:
    return spec.model_dump(exclude={"provider", "model", "weight"})
