"""Policies against the catalog and the agents of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config.snapshot import Snapshot
from routing.rules import Arm, CompiledPolicy, Tier

from .conftest import Load, Problems

CONFIG = """
providers:
  p: {base_url: http://127.0.0.1:9/v1}
  maybe: {base_url: http://127.0.0.1:9/v1, api_key: "${MAYBE}", optional: true}
models:
  nano: {provider: p, price: {input: "1", output: "1"}, aliases: [tiny]}
  mini: {provider: p, price: {input: "2", output: "2"}}
  large: {provider: p, price: {input: "9", output: "9"}}
  maybe-large: {provider: maybe, price: {input: "9", output: "9"}, aliases: [perhaps]}
  p/*: {provider: p, price: {input: "3", output: "3"}}
  maybe/*: {provider: maybe, price: {input: "3", output: "3"}}
teams: {research: {}, sales: {policy: tiers}}
agents:
  coder: {}
  writer: {policy: other}
  seller: {team: sales}
  caller: {team: sales, policy: other}
"""
TIERS = "name: tiers\ntiers:\n  weak: [nano, mini]\n  strong: [large]\n"

Loaded = Callable[[str], Snapshot]
Wrong = Callable[[str], list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/other.yaml").write_text("name: other\ndefault: mini\n")
    return tmp_path / "policies"


@pytest.fixture
def loaded(load_text: Load, folder: Path) -> Loaded:
    """A configuration with this policy."""

    def run(policy: str, environ: dict[str, str] | None = None) -> Snapshot:
        (folder / "tiers.yaml").write_text(policy)
        return load_text(CONFIG, environ or {})

    return run


@pytest.fixture
def compiled(loaded: Loaded) -> Callable[[str], CompiledPolicy]:
    return lambda policy: loaded(policy).compiled_policies["tiers"]


@pytest.fixture
def wrong(problems: Problems, folder: Path) -> Wrong:
    """What is wrong with this policy, without the file's name."""

    def run(policy: str) -> list[str]:
        (folder / "tiers.yaml").write_text(policy)
        return [line.removeprefix("policies/tiers.yaml:") for line in problems(CONFIG)]

    return run


def test_a_policy_is_compiled_for_the_router(compiled: Callable[[str], CompiledPolicy]) -> None:
    policy = compiled(
        TIERS
        + """
rules:
  - {name: code, when: agent == "coder" && complexity > 0.5, use: [strong, tiny]}
  - {name: trial, shadow: true, experiment: {old: {percent: 80, use: weak}, new: {percent: 20, use: [large, p/x]}}}
  - {name: spread, when: hour < 6, use: {nano: 3, mini: 1}, strategy: weighted}
  - {name: cascade, when: stream, use: [weak, strong], verify: {checks: [empty], condition: answer.output_tokens > 3}}
default: {use: mini, strategy: cheapest}
claims: [auto, smart, tiny]
floors: {coder: weak, writer: strong}
ceilings: {coder: strong}
strategy: value
"""
    )

    assert policy.tiers == (Tier("weak", ("nano", "mini")), Tier("strong", ("large",)))
    code, trial, spread, cascade = policy.rules
    assert (code.use, code.strategy, code.shadow, code.arms, code.verify) == (
        ("strong", "nano"),
        "value",
        False,
        (),
        None,
    )
    assert code.condition is not None
    assert code.condition.reads == {"agent", "complexity"}
    assert (trial.use, trial.condition, trial.shadow) == ((), None, True)
    assert trial.arms == (Arm("old", 80, ("weak",)), Arm("new", 20, ("large", "p/x")))
    assert (spread.use, spread.weights, spread.strategy) == (("nano", "mini"), (3, 1), "weighted")
    assert cascade.verify is not None
    assert (cascade.verify.checks, cascade.verify.buffer_streams) == (("empty",), False)
    assert cascade.verify.condition is not None
    default = policy.default
    assert (default.name, default.use, default.strategy, default.condition) == ("default", ("mini",), "cheapest", None)
    assert policy.claims == {"auto", "smart", "tiny"}
    assert (policy.floors, policy.ceilings) == ({"coder": "weak", "writer": "strong"}, {"coder": "strong"})


def test_without_a_default_the_strongest_tier_is_used(compiled: Callable[[str], CompiledPolicy]) -> None:
    assert compiled(TIERS).default.use == ("strong",)


def test_each_agent_has_its_own_policy_or_its_teams_or_the_default(loaded: Loaded, folder: Path) -> None:
    snapshot = loaded(TIERS)
    assert {agent: policy.name for agent, policy in snapshot.agent_policies.items()} == {
        "writer": "other",
        "seller": "tiers",
        "caller": "other",
    }

    (folder / "default.yaml").write_text("name: default\ndefault: nano\n")
    assert loaded(TIERS).agent_policies["coder"].name == "default"


def test_the_configuration_names_a_policy_for_everybody(load_text: Load, folder: Path) -> None:
    (folder / "tiers.yaml").write_text(TIERS)

    assert load_text(f"{CONFIG}\npolicy: tiers\n").agent_policies["coder"].name == "tiers"


def test_a_policy_that_chooses_nothing_is_none(loaded: Loaded) -> None:
    snapshot = loaded("name: tiers\nstrategy: ordered\n")

    assert [policy.name for policy in snapshot.policies] == ["other", "tiers"]
    assert set(snapshot.compiled_policies) == {"other"}
    assert "seller" not in snapshot.agent_policies


def test_an_unknown_policy_is_told(problems: Problems, folder: Path) -> None:
    (folder / "tiers.yaml").write_text(TIERS)

    assert problems(f"{CONFIG.replace('policy: other', 'policy: othr', 1)}\npolicy: teirs\n") == [
        "config.yaml:15:20: agents.writer.policy: no policy is called 'othr'; did you mean 'other'?",
        "config.yaml:19:9: policy: no policy is called 'teirs'; did you mean 'tiers'?",
    ]


RULES = [
    ("use: stong", "5:24: rules[0].use: no model is called 'stong'; did you mean 'strong'?"),
    ("use: [weak, lrage]", "5:31: rules[0].use[1]: no model is called 'lrage'; did you mean 'large'?"),
    ("use: p/*", "5:24: rules[0].use: 'p/*' is a pattern; name the model"),
    (
        "use: weak, when: agnt == 'coder'",
        "5:36: rules[0].when: at character 1: no variable is called 'agnt'; did you mean 'agent'?",
    ),
    (
        "use: weak, when: value_usd > '5'",
        "5:36: rules[0].when: at character 11: `>` does not go with a double and a string",
    ),
    ("use: weak, when: agent == 'codr'", "5:36: rules[0].when: no agent is called 'codr'; did you mean 'coder'?"),
    (
        "use: weak, when: \"team in ['research', 'sale'] || stream\"",
        "5:36: rules[0].when: no team is called 'sale'; did you mean 'sales'?",
    ),
    (
        "use: weak, when: priority == 'hihg'",
        "5:36: rules[0].when: no priority is called 'hihg'; did you mean 'high'?",
    ),
    ("use: weak, when: model == 'naon'", "5:36: rules[0].when: no model is called 'naon'; did you mean 'nano'?"),
    (
        "use: weak, strategy: best",
        "5:40: rules[0].strategy: should be 'ordered', 'weighted', 'cheapest', 'fastest' or 'value'",
    ),
    ("use: {weak: 1, strong: 2}", "5:24: rules[0].use: weights count under `strategy: weighted` only"),
    (
        "use: nano, verify: [empty]",
        "5:30: rules[0].verify: there is no other model to ask: `use` needs a stronger one after the first",
    ),
    (
        "use: [nano, mini], verify: {condition: answer.tex == ''}",
        "5:58: rules[0].verify.condition: at character 7: no variable is called 'answer.tex'; "
        "did you mean 'answer.text'?",
    ),
    (
        "experiment: {a: {percent: 50, use: weak}, b: {percent: 49, use: strong}}",
        "5:9: rules[0]: the percents of an experiment add up to 100, not to 99",
    ),
    (
        "experiment: {a: {percent: 50, use: {weak: 2}}, b: {percent: 50, use: strong}}",
        "5:54: rules[0].experiment.a.use: an arm has no weights: name a tier, or models in order",
    ),
    (
        "experiment: {a: {percent: 50, use: weak}, b: {percent: 50, use: srong}}",
        "5:83: rules[0].experiment.b.use: no model is called 'srong'; did you mean 'strong'?",
    ),
    ("when: stream", "5:9: rules[0]: needs one of `use` and `experiment`"),
    ("use: weak, whn: stream", "5:30: rules[0].whn: unknown setting 'whn'; did you mean 'when'?"),
]


@pytest.mark.parametrize(("settings", "problem"), RULES, ids=[settings[:40] for settings, _ in RULES])
def test_a_mistake_in_a_rule_has_its_place_and_the_nearest_name(wrong: Wrong, settings: str, problem: str) -> None:
    assert wrong(f"{TIERS}rules: [{{name: r, {settings}}}]\n") == [problem]


REST = [
    ("floors: {codr: weak}", "5:10: floors.codr: no agent is called 'codr'; did you mean 'coder'?"),
    ("ceilings: {coder: weka}", "5:19: ceilings.coder: no tier is called 'weka'; did you mean 'weak'?"),
    (
        "{floors: {coder: strong}, ceilings: {coder: weak}}",
        "5:18: floors.coder: its floor 'strong' is above its ceiling 'weak'",
    ),
    (
        "claims: [auto, nano]",
        "5:16: claims[1]: 'nano' is a model: list it under `route_concrete` if requests for it are to be routed",
    ),
    ("route_concrete: [nanno]", "5:18: route_concrete[0]: no model is called 'nanno'; did you mean 'nano'?"),
    ("route_concrete: sometimes", "5:17: route_concrete: should be `true`, `false`, or a list of models"),
    ("default: wek", "5:10: default: no model is called 'wek'; did you mean 'weak'?"),
    ("default: {use: [wek]}", "5:17: default.use[0]: no model is called 'wek'; did you mean 'weak'?"),
    ("default: {strategi: ordered}", "5:11: default.strategi: unknown setting 'strategi'; did you mean 'strategy'?"),
    (
        "rules: [{name: a, when: stream, use: weak}, {name: a, use: weak}]",
        "5:52: rules[1].name: 'a' is already the name of a rule",
    ),
    ("rules: [{name: default, use: weak}]", "5:16: rules[0].name: 'default' stands for the policy's `default`"),
]


@pytest.mark.parametrize(("settings", "problem"), REST, ids=[settings[:40] for settings, _ in REST])
def test_a_mistake_elsewhere_has_its_place_too(wrong: Wrong, settings: str, problem: str) -> None:
    if settings.startswith("{"):
        assert wrong(TIERS + "# " + "\n" + settings[1:-1].replace("}, ", "}\n") + "\n") == [
            problem.replace("5:18", "6:17")
        ]
    else:
        assert wrong(f"{TIERS}{settings}\n") == [problem]


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        (
            "name: tiers\ntiers: {weak: [nano, lage]}\n",
            ["2:22: tiers.weak[1]: no model is called 'lage'; did you mean 'large'?"],
        ),
        ("name: tiers\ntiers: {weak: [nano, tiny]}\n", ["2:22: tiers.weak[1]: 'nano' is in this tier already"]),
        (
            "name: tiers\ntiers: {mini: [nano]}\n",
            ["2:9: tiers.mini: 'mini' is the name of a model; call the tier something else"],
        ),
        (
            "name: tiers\nrules: [{name: r, when: stream, use: nano}]\n",
            ["1:1: needs a `default`: what to use when no rule matches"],
        ),
        (
            "name: tiers\nclaims: [smart]\n",
            ["2:1: claims: has no effect: the policy has no `tiers`, no `rules` and no `default`"],
        ),
        (
            "name: tiers\ntiers: {weak: nano}\ndefault: weak\nfloors: {coder: weak}\n",
            ["2:15: tiers.weak: should be a list, not text"],
        ),
        ("name: tiers\ndefault: maybe/x\nrules: [{name: r, use: p/other}]\n", []),
    ],
)
def test_mistakes_of_whole_policies(wrong: Wrong, loaded: Loaded, policy: str, found: list[str]) -> None:
    if found:
        assert wrong(policy) == found
    else:
        assert loaded(policy)


def test_models_without_a_price_are_told(problems: Problems, folder: Path) -> None:
    (folder / "tiers.yaml").write_text("name: tiers\ndefault: p/unheard-of\n")

    (line,) = problems(CONFIG.replace('  p/*: {provider: p, price: {input: "3", output: "3"}}', "  p/*: {provider: p}"))

    assert line.startswith("policies/tiers.yaml:2:10: default: no price is known for 'p/unheard-of'")


def test_models_behind_wildcards_join_the_catalog(loaded: Loaded) -> None:
    snapshot = loaded("name: tiers\ndefault: p/special\n")

    model = snapshot.catalog.find("p/special")
    assert model is not None
    assert [(each.id, each.price is not None) for each in model.deployments] == [("p/special", True)]
    assert snapshot.compiled_policies["tiers"].default.use == ("p/special",)


def test_what_is_left_out_leaves_tiers_and_rules(loaded: Loaded) -> None:
    policy = (
        "name: tiers\ntiers: {weak: [nano, perhaps], strong: [maybe-large, maybe/x]}\n"
        "rules:\n- {name: gone, when: stream, use: maybe-large}\n- {name: stays, when: stream, use: [perhaps, mini]}\n"
    )

    without = loaded(policy)

    assert without.compiled_policies["tiers"].tiers == (Tier("weak", ("nano",)), Tier("strong", ()))
    assert [(rule.name, rule.use) for rule in without.compiled_policies["tiers"].rules] == [("stays", ("mini",))]
    assert without.compiled_policies["tiers"].default.use == ("weak",)
    assert [line.partition("tiers.yaml:")[2] for line in without.warnings] == [
        "2:40: tiers.strong: has no model that is configured",
        "4:3: rules[0]: the rule 'gone' is left out: no model is configured",
    ]
    whole = loaded(policy, {"MAYBE": "key"}).compiled_policies["tiers"]
    assert whole.tiers[1] == Tier("strong", ("maybe-large", "maybe/x"))
    assert [rule.name for rule in whole.rules] == ["gone", "stays"]


def test_concrete_models_are_claimed_only_on_request(compiled: Callable[[str], CompiledPolicy]) -> None:
    assert compiled(TIERS).claims == {"auto"}
    assert compiled(f"{TIERS}route_concrete: [nano]\n").claims == {"auto", "nano"}
    everything = {"auto", "nano", "tiny", "mini", "large", "maybe-large", "perhaps"}
    assert compiled(f"{TIERS}route_concrete: true\n").claims == everything
    assert compiled(f"{TIERS}route_concrete: [nano]\nclaims: [nano]\n").claims == {"nano"}


def test_a_policy_that_nobody_can_ask_for_is_warned_of(loaded: Loaded) -> None:
    (line,) = loaded(f"{TIERS}claims: []\n").warnings
    assert line.endswith("claims: has no name, so no request comes to this policy")
    assert loaded(f"{TIERS}claims: []\nroute_concrete: [nano]\n").warnings == ()


def test_a_rule_that_is_never_reached_is_warned_of(loaded: Loaded) -> None:
    lines = loaded(f"{TIERS}rules: [{{name: all, use: weak}}, {{name: never, when: stream, use: strong}}]\n").warnings

    assert [line.partition("tiers.yaml:")[2] for line in lines] == [
        "5:33: rules[1]: never reached: the rule 'all' before it always matches"
    ]


def test_a_shadow_rule_hides_no_other(loaded: Loaded) -> None:
    rules = "[{name: all, use: weak, shadow: true}, {name: some, when: stream, use: strong}, {name: last, use: weak}]"

    assert loaded(f"{TIERS}rules: {rules}\n").warnings == ()


def test_a_rule_that_names_a_wrong_tier_is_right_itself(wrong: Wrong) -> None:
    policy = "name: tiers\ntiers: {weak: nano, strong: [large]}\nrules: [{name: r, use: weak}]\nfloors: {coder: weak}\n"

    assert wrong(policy) == ["2:15: tiers.weak: should be a list, not text"]


def test_a_broken_file_is_the_only_thing_told(wrong: Wrong) -> None:
    """That the team's policy is not known is no mistake of the configuration then."""
    assert wrong("name: [tiers\n") == ["2:1: not YAML: did not find expected ',' or ']'"]
