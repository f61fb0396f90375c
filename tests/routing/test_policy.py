from __future__ import annotations

import pytest
from pydantic import ValidationError

from routing.policy import Policy


def wrong(written: dict[str, object]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate(written)
    return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in caught.value.errors()]


def rule(**settings: object) -> dict[str, object]:
    return {"name": "p", "tiers": {"weak": ["a"], "strong": ["b"]}, "rules": [{"name": "r", **settings}]}


def test_a_policy_needs_only_a_name_and_then_chooses_nothing() -> None:
    policy = Policy.model_validate({"name": "default", "strategy": "ordered"})

    assert (policy.strategy, policy.description, policy.claims) == ("ordered", "", ["auto"])
    assert not policy.routes


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"name": ""},
        {"name": "a b"},
        {"name": "a", "strategy": "best"},
        {"name": "a", "tiers": {"x": []}},
        {"name": "a", "tiers": {"x y": ["m"]}},
        {"name": "a", "rules": [{}]},
        {"name": "a", "route_concrete": "yes"},
        {"name": "a", "floors": {"dev": 1}},
        rule(use="weak", when=True),
        rule(use="weak", shadow="yes"),
        rule(use="weak", verify=["spelling"]),
    ],
)
def test_anything_unknown_is_refused(written: dict[str, object]) -> None:
    assert wrong(written)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("weak", {"weak": 1}),
        (["weak", "m"], {"weak": 1, "m": 1}),
        ({"weak": 3, "m": 0}, {"weak": 3, "m": 0}),
    ],
)
def test_what_is_used_has_three_forms(written: object, names: dict[str, int]) -> None:
    assert Policy.model_validate(rule(use=written)).rules[0].use == names


@pytest.mark.parametrize("written", [[], {}, "", ["a", "a"], [1], {"a": 0}, {"a": -1}, {"a": True}, {"a": 0.5}, 3])
def test_a_use_that_names_nothing_or_weighs_wrong_is_refused(written: object) -> None:
    (problem,) = wrong(rule(use=written))

    assert problem.startswith("rules.0.use: ")


def test_a_default_and_a_verification_have_a_short_form() -> None:
    policy = Policy.model_validate({**rule(use=["weak", "strong"], verify=["empty", "schema"]), "default": "weak"})

    assert policy.default is not None
    assert policy.default.use == {"weak": 1}
    assert policy.rules[0].verify is not None
    assert (policy.rules[0].verify.checks, policy.rules[0].verify.buffer_streams) == (["empty", "schema"], False)


def test_a_rule_uses_something_or_tries_something() -> None:
    arms = {"a": {"percent": 50, "use": "weak"}, "b": {"percent": 50, "use": "strong"}}

    assert wrong(rule()) == ["rules.0: needs one of `use` and `experiment`"]
    assert wrong(rule(use="weak", experiment=arms)) == ["rules.0: needs one of `use` and `experiment`"]
    assert Policy.model_validate(rule(experiment=arms)).rules[0].experiment


@pytest.mark.parametrize("percents", [(50, 49), (100, 1), (33.3, 33.3)])
def test_the_percents_of_an_experiment_add_up(percents: tuple[float, float]) -> None:
    arms = {name: {"percent": each, "use": "weak"} for name, each in zip("ab", percents, strict=True)}

    (problem,) = wrong(rule(experiment=arms))

    assert problem == f"rules.0: the percents of an experiment add up to 100, not to {sum(percents):g}"


def test_thirds_add_up() -> None:
    arms = {name: {"percent": 100 / 3, "use": "weak"} for name in "abc"}

    assert Policy.model_validate(rule(experiment=arms))


@pytest.mark.parametrize("percent", [0, -1, 101, "50"])
def test_a_share_is_above_zero(percent: object) -> None:
    arms = {"a": {"percent": percent, "use": "weak"}, "b": {"percent": 50, "use": "strong"}}

    assert any(problem.startswith("rules.0.experiment.a.percent") for problem in wrong(rule(experiment=arms)))


def test_a_shadow_rule_verifies_nothing() -> None:
    problems = wrong(rule(use=["weak", "strong"], shadow=True, verify=["empty"]))

    assert problems == ["rules.0: a shadow rule calls nothing: there is no answer to `verify`"]


def test_a_verification_checks_something() -> None:
    assert wrong(rule(use="weak", verify={"buffer_streams": True})) == [
        "rules.0.verify: needs `checks`, a `condition`, or both"
    ]
