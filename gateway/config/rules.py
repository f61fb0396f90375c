"""A policy as written into the router's: names followed, conditions compiled, what contradicts itself reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from gateway.config.problems import YamlPath, did_you_mean
from gateway.config.surroundings import DEFAULT, Surroundings
from gateway.config.validate import Tree
from gateway.config.wildcards import matches_any
from routing.policy import Action, Policy, Verification
from routing.policy import Rule as WrittenRule
from routing.rules import Arm, CompiledPolicy, Rule, Tier, Verify

if TYPE_CHECKING:
    from routing.conditions import CompiledCondition, ConditionError

_PRIORITIES = frozenset(("low", "normal", "high"))


def compile_policy(policy: Policy, tree: Tree, around: Surroundings) -> CompiledPolicy | None:
    """The policy that the router reads; None when it chooses no models. What is wrong is reported to `tree`.

    Models that are left out with their provider are dropped from tiers and rules, and a rule without any other goes
    with them: both are warned of.
    """
    if not policy.routes:
        settings = ("floors", "ceilings", "claims", "route_concrete") + ("strategy",) * (policy.strategy != "ordered")
        if idle := next((key for key in settings if tree.has((key,))), None):
            tree.complain((idle,), "has no effect: the policy has no `tiers`, no `rules` and no `default`", key=True)
        return None
    return _Compiler(policy, tree, around).compile()


class _Compiler:
    """Compiles one policy, once."""

    def __init__(self, policy: Policy, tree: Tree, around: Surroundings) -> None:
        self._policy = policy
        self._tree = tree
        self._around = around
        self._names = around.names
        self._order = {name: place for place, name in enumerate(policy.tiers)}
        self._tiers: dict[str, tuple[str, ...]] = {}
        self._wrong_tiers = {path[1] for path in tree.dropped if path[0] == "tiers" and len(path) > 1}
        """Their problems are reported; what names them is right."""

    def compile(self) -> CompiledPolicy:
        policy = self._policy
        self._tiers = {name: self._tier(name, models) for name, models in policy.tiers.items()}
        rules = [self._rule(written, ("rules", index)) for index, written in enumerate(policy.rules)]
        self._check_rules(policy.rules)
        default = self._default()
        claims = self._claims()
        self._check_bounds()
        return CompiledPolicy(
            name=policy.name,
            tiers=tuple(Tier(name, models) for name, models in self._tiers.items()),
            rules=tuple(rule for rule in rules if rule is not None),
            default=default,
            claims=claims,
            floors=dict(policy.floors),
            ceilings=dict(policy.ceilings),
        )

    def _tier(self, name: str, written: list[str]) -> tuple[str, ...]:
        path: YamlPath = ("tiers", name)
        if name in self._names.models:
            self._tree.complain(path, f"{name!r} is the name of a model; call the tier something else", key=True)
        found: dict[str, None] = {}
        for index, model in enumerate(written):
            own = self._model((*path, index), model, self._names.models)
            if own in found:
                self._tree.complain((*path, index), f"{own!r} is in this tier already")
            if own is not None and self._callable((*path, index), own):
                found[own] = None
        if not found and written:
            self._tree.warn(path, "has no model that is configured")
        return tuple(found)

    def _model(self, path: YamlPath, name: str, known: Iterable[str]) -> str | None:
        """A model's own name; None, and a problem, when there is none."""
        if "*" in name:
            self._tree.complain(path, f"{name!r} is a pattern; name the model")
            return None
        models = self._names.models
        own = models.get(name) or (name if matches_any(name, models) else None)
        if own is None:
            self._tree.complain(path, f"no model is called {name!r}{did_you_mean(name, known)}")
        return own

    def _callable(self, path: YamlPath, own: str) -> bool:
        """Whether the model is there, and not left out with its provider."""
        if own in self._around.catalog.models:
            return True
        model = None if self._around.wildcards is None else self._around.wildcards.resolve(own)
        if model is None:
            return False
        if all(deployment.price is None for deployment in model.deployments):
            self._tree.complain(path, f"no price is known for {own!r}: give it an entry of its own under `models`")
        self._around.resolved[own] = model
        return True

    def _use(self, path: YamlPath, use: Mapping[str, int]) -> dict[str, int]:
        """The tiers and models that a rule names, as far as they are there, with their weights."""
        found: dict[str, int] = {}
        known = [*self._tiers, *self._names.models]
        for index, (name, weight) in enumerate(use.items()):
            if name in self._tiers:
                found[name] = weight
            if name in self._tiers or name in self._wrong_tiers:
                continue
            at: YamlPath = (*path, index) if isinstance(self._tree.get(path), list) else (*path, name)
            at = at if self._tree.has(at) else path
            own = self._model(at, name, known)
            if own is not None and self._callable(at, own):
                found[own] = weight
        return found

    def _models(self, use: Iterable[str]) -> set[str]:
        return {model for name in use for model in self._tiers.get(name, (name,))}

    def _rule(self, written: WrittenRule, path: YamlPath) -> Rule | None:
        """The rule, or None when nothing that it names is configured."""
        arms = {
            name: self._arm((*path, "experiment", name), arm.use) for name, arm in (written.experiment or {}).items()
        }
        use = self._use((*path, "use"), written.use or {})
        rule = Rule(
            name=written.name,
            condition=self._condition((*path, "when"), written.when),
            use=tuple(use),
            strategy=written.strategy or self._policy.strategy,
            weights=self._weights(written, path, use),
            shadow=written.shadow,
            arms=tuple(Arm(name, arm.percent, tuple(arms[name])) for name, arm in (written.experiment or {}).items()),
            verify=self._verify(written.verify, (*path, "verify"), written),
        )
        without = [name for name, named in arms.items() if not self._models(named)]
        if without or (written.use is not None and not self._models(use)):
            of_arm = f" of its arm {without[0]!r}" if without else ""
            self._tree.warn(path, f"the rule {written.name!r} is left out: no model{of_arm} is configured")
            return None
        return rule

    def _arm(self, path: YamlPath, use: Mapping[str, int]) -> dict[str, int]:
        if isinstance(self._tree.get((*path, "use")), dict):
            self._tree.complain((*path, "use"), "an arm has no weights: name a tier, or models in order")
        return self._use((*path, "use"), use)

    def _weights(self, written: Action, path: YamlPath, use: Mapping[str, int]) -> tuple[int, ...]:
        weighted = (written.strategy or self._policy.strategy) == "weighted"
        if not weighted and isinstance(self._tree.get((*path, "use")), dict):
            self._tree.complain((*path, "use"), "weights count under `strategy: weighted` only")
        weights = tuple(use.values())
        return weights if weighted and len(set(weights)) > 1 else ()

    def _verify(self, written: Verification | None, path: YamlPath, action: Action) -> Verify | None:
        if written is None:
            return None
        named = {model for name in action.use or {} for model in self._policy.tiers.get(name, [name])}
        if action.use is not None and len(named) < 2:
            message = "there is no other model to ask: `use` needs a stronger one after the first"
            self._tree.complain(path, message, key=True)
        condition = None
        if written.condition is not None:
            from routing.conditions import CompiledAnswerCondition, ConditionError  # 10 MB: see there

            try:
                condition = CompiledAnswerCondition(written.condition)
            except ConditionError as error:
                self._complain_of((*path, "condition"), error)
        return Verify(tuple(written.checks), condition, written.buffer_streams)

    def _condition(self, path: YamlPath, text: str | None) -> CompiledCondition | None:
        if text is None:
            return None
        from routing.conditions import CompiledCondition, ConditionError  # 10 MB: see there

        try:
            condition = CompiledCondition(text)
        except ConditionError as error:
            self._complain_of(path, error)
            return None
        self._check_compared(path, condition)
        return condition

    def _complain_of(self, path: YamlPath, error: ConditionError) -> None:
        for fault in error.faults:
            line = f"line {fault.line}, " if fault.line > 1 else ""
            self._tree.complain(path, f"at {line}character {fault.column}: {fault.message}")

    def _check_compared(self, path: YamlPath, condition: CompiledCondition) -> None:
        """Names that a condition compares a variable with have to exist."""
        names, compares = self._names, condition.compares
        known = {"agent": names.agents, "team": names.teams, "org": names.orgs, "priority": _PRIORITIES}
        for variable, choices in known.items():
            for text in sorted(compares.get(variable, frozenset()) - choices):
                self._tree.complain(path, f"no {variable} is called {text!r}{did_you_mean(text, choices)}")
        for text in sorted(compares.get("model", frozenset()) - set(self._policy.claims)):
            self._model(path, text, [*names.models, *self._policy.claims])

    def _check_rules(self, rules: list[WrittenRule]) -> None:
        seen: dict[str, int] = {DEFAULT: -1}
        for index, rule in enumerate(rules):
            if rule.name in seen:
                what = "stands for the policy's `default`" if rule.name == DEFAULT else "is already the name of a rule"
                self._tree.complain(("rules", index, "name"), f"{rule.name!r} {what}")
            seen[rule.name] = index
        always = next((i for i, rule in enumerate(rules) if rule.when is None and not rule.shadow), len(rules) - 1)
        if always < len(rules) - 1:
            name = rules[always].name
            self._tree.warn(("rules", always + 1), f"never reached: the rule {name!r} before it always matches")

    def _default(self) -> Rule:
        written, policy = self._policy.default, self._policy
        if written is None or written.use is None:
            if not policy.tiers and not self._tree.dropped:
                self._tree.complain((), "needs a `default`: what to use when no rule matches", key=True)
            use = dict.fromkeys([name for name in reversed(self._tiers) if self._tiers[name]][:1], 1)
        else:
            use = self._use((DEFAULT, "use") if self._tree.has((DEFAULT, "use")) else (DEFAULT,), written.use)
        if written is None:
            return Rule(DEFAULT, None, tuple(use), policy.strategy)
        if not self._models(use):
            self._tree.warn((DEFAULT,), "no model of it is configured")
        return Rule(
            name=DEFAULT,
            condition=None,
            use=tuple(use),
            strategy=written.strategy or policy.strategy,
            weights=self._weights(written, (DEFAULT,), use),
            verify=self._verify(written.verify, (DEFAULT, "verify"), written),
        )

    def _claims(self) -> frozenset[str]:
        policy, models = self._policy, self._names.models
        claims = set(policy.claims)
        concrete: set[str] = set()
        if policy.route_concrete is True:
            concrete = {name for name in models if "*" not in name}
        elif policy.route_concrete:
            for index, name in enumerate(policy.route_concrete):
                if self._model(("route_concrete", index), name, models) is not None:
                    concrete.add(name)
        for index, name in enumerate(policy.claims):
            if models.get(name) == name and name not in concrete:
                message = f"{name!r} is a model: list it under `route_concrete` if requests for it are to be routed"
                self._tree.complain(("claims", index), message)
        if not claims | concrete:
            self._tree.warn(("claims",), "has no name, so no request comes to this policy")
        return frozenset(claims | concrete)

    def _check_bounds(self) -> None:
        """Floors and ceilings: of agents that exist, at tiers that exist, the floor no higher than the ceiling."""
        for setting, bounds in (("floors", self._policy.floors), ("ceilings", self._policy.ceilings)):
            for agent, tier in bounds.items():
                path: YamlPath = (setting, agent)
                if agent not in self._names.agents:
                    hint = did_you_mean(agent, self._names.agents)
                    self._tree.complain(path, f"no agent is called {agent!r}{hint}", key=True)
                if tier not in self._order and tier not in self._wrong_tiers:
                    self._tree.complain(path, f"no tier is called {tier!r}{did_you_mean(tier, self._order)}")
        for agent, floor in self._policy.floors.items():
            ceiling = self._policy.ceilings.get(agent, "")
            if self._order.get(floor, 0) > self._order.get(ceiling, len(self._order)):
                message = f"its floor {floor!r} is above its ceiling {ceiling!r}"
                self._tree.complain(("floors", agent), message)
