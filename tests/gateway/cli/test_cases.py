from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.cases import run_cases

CONFIG = """\
providers:
  mine: {base_url: "http://127.0.0.1:1/v1", api_key: "${NEVER_SET}"}
  maybe: {base_url: "${NEITHER_SET}", optional: true}
models:
  small: {provider: mine, price: {input: "1", output: "1"}}
  large: {provider: maybe, price: {input: "9", output: "9"}}
agents: {dev: {}, other: {policy: plain}}
storage: {dir: "${STORAGE}"}
"""
TIERS = """\
name: tiers
tiers: {weak: [small], strong: [large]}
rules: [{name: dear, when: value_usd > 10.0, use: strong}]
default: weak
"""
CASES = """\
policy: tiers
cases:
  - name: cheap
    request: {agent: dev}
    expect: {model: small, rule: default}
  - name: dear
    request: {agent: dev, value_usd: 20}
    expect: {model: large, tier: strong}
"""

app = typer.Typer()
app.command()(run_cases)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiled prices stay from one test to the next."""
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, storage: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORAGE", str(storage))
    write("config.yaml", CONFIG)
    write("policies/tiers.yaml", TIERS)
    write("policies/plain.yaml", "name: plain\ndefault: small\nclaims: [auto, any]\n")
    write("policies/cases/tiers.yaml", CASES)
    return tmp_path


def write(name: str, text: str) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def report(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("--json", *arguments)[1])
    return found


def test_cases_that_are_as_expected_pass_without_any_secret() -> None:
    code, out, err = run()

    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        "policy case model rule",
        "pass tiers cheap small default",
        "pass tiers dear large dear",
        "",
        "2 passed, 0 failed",
    ]


def test_a_difference_is_shown_and_fails() -> None:
    write("policies/tiers.yaml", TIERS.replace("> 10.0", "> 30.0"))

    code, out, _ = run()

    assert code == 1
    assert "FAIL  tiers   dear   small  default" in out
    assert (
        "policies/cases/tiers.yaml:6: dear\n  default: first\n  model\n    - large\n    + small\n"
        "  tier\n    - strong\n    + weak\n" in out
    )
    assert out.endswith("1 passed, 1 failed\n")


def test_json_says_the_same() -> None:
    write("policies/tiers.yaml", TIERS.replace("> 10.0", "> 30.0"))

    found = report()

    assert (found["ok"], found["passed"], found["failed"]) == (False, 1, 1)
    (case,) = [case for case in found["cases"] if not case["passed"]]
    assert case["place"] == "policies/cases/tiers.yaml:6"
    assert (case["policy"], case["model"], case["rule"]) == ("tiers", "small", "default")
    assert case["differences"] == [
        {"setting": "model", "expected": "large", "got": "small"},
        {"setting": "tier", "expected": "strong", "got": "weak"},
    ]


def test_a_candidate_takes_the_place_of_the_policy_with_its_name() -> None:
    write("new.yaml", TIERS.replace("> 10.0", "> 30.0"))
    write("policies/cases/plain.yaml", "policy: plain\n" + CASES.partition("\n")[2])

    found = report("--policy", "new.yaml")

    assert [(case["name"], case["passed"]) for case in found["cases"]] == [("cheap", True), ("dear", False)]


def test_cases_that_name_no_policy_have_their_agents_or_the_candidate() -> None:
    write(
        "policies/cases/tiers.yaml",
        "cases:\n"
        "- {name: a, request: {agent: other, model: any}, expect: {rule: default}}\n"
        "- {name: b, request: {agent: dev, model: small}, expect: {rule: asked}}\n",
    )

    assert [case["policy"] for case in report()["cases"]] == ["plain", ""]
    assert [case["policy"] for case in report("--policy", "policies/tiers.yaml")["cases"]] == ["tiers", "tiers"]


def test_cases_may_name_a_file_that_is_not_in_force() -> None:
    write("policies/examples/new.yaml", TIERS.replace("name: tiers", "name: new"))
    write("policies/cases/tiers.yaml", CASES.replace("policy: tiers", "policy: ../examples/new.yaml"))

    assert {case["policy"] for case in report()["cases"]} == {"new"}
    assert {case["policy"] for case in report("--policy", "policies/examples/new.yaml")["cases"]} == {"new"}
    code, _, err = run("--policy", "policies/tiers.yaml")
    assert (code, err) == (2, "farebox test: no case is about this policy\n")


def test_cases_may_lie_anywhere() -> None:
    write("elsewhere/one.yaml", CASES)

    assert report("--cases", "elsewhere")["passed"] == 2
    assert report("--cases", "elsewhere/one.yaml")["passed"] == 2


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("config.yaml", CONFIG + "agnts: {}\n", "config.yaml:9:1: agnts: unknown setting 'agnts'"),
        (
            "policies/tiers.yaml",
            TIERS.replace("value_usd", "value"),
            "policies/tiers.yaml:3:28: rules[0].when: at character 1",
        ),
        (
            "policies/tiers.yaml",
            "name: tiers\n",
            "cases/tiers.yaml:1:9: policy: no policy that chooses models is called 'tiers'",
        ),
        (
            "policies/cases/tiers.yaml",
            CASES.replace("agent: dev}", "agnt: dev}"),
            ":4:15: cases[0].request.agnt: unknown setting",
        ),
        (
            "policies/cases/tiers.yaml",
            CASES.replace("agent: dev}", "agent: dve}"),
            ":4:22: cases[0].request.agent: no agent is called",
        ),
        (
            "policies/cases/tiers.yaml",
            CASES.replace("model: small", "model: smal"),
            ":5:21: cases[0].expect.model: no model is called",
        ),
        (
            "policies/cases/tiers.yaml",
            CASES.replace("rule: default", "rule: defalt"),
            ":5:34: cases[0].expect.rule: no rule is called",
        ),
        (
            "policies/cases/tiers.yaml",
            CASES.replace("tier: strong", "tier: storng"),
            ":8:34: cases[1].expect.tier: no tier is called",
        ),
        ("policies/cases/tiers.yaml", CASES.replace("{model: small, rule: default}", "{}"), "expects nothing"),
        (
            "policies/cases/tiers.yaml",
            CASES.replace("policy: tiers", "policy: tiesr"),
            ":1:9: policy: no policy that chooses models",
        ),
        (
            "policies/cases/tiers.yaml",
            CASES.replace("policy: tiers", "policy: gone.yaml"),
            ":1:9: policy: no such file",
        ),
        ("policies/cases/tiers.yaml", "policy: tiers\n", "needs `cases`"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(file: str, text: str, problem: str) -> None:
    write(file, text)

    code, out, err = run()

    assert (code, out) == (2, "")
    assert problem in err
    assert err.endswith("nothing was tested\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "gone.yaml"], "there is no gone.yaml"),
        (["--policy", "gone.yaml"], "there is no gone.yaml"),
        (["--cases", "gone"], "there are no cases in gone"),
    ],
)
def test_a_missing_file_is_told(arguments: list[str], message: str) -> None:
    assert run(*arguments) == (2, "", f"farebox test: {message}\n")


def test_a_candidate_that_chooses_nothing_is_told() -> None:
    write("none.yaml", "name: none\n")
    write("policies/cases/tiers.yaml", CASES.partition("\n")[2])

    code, _, err = run("--policy", "none.yaml")

    assert (code, err) == (2, "farebox test: the policy in none.yaml chooses no models\n")
