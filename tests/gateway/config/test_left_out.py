from __future__ import annotations

from gateway.config.left_out import sum_up

from .conftest import Load, Problems

TEXT = """\
providers:
  a: {base_url: https://a.example, api_key: "${A_KEY}", optional: true}
  b: {base_url: "${B_URL}", api_key: "${B_KEY}", optional: true}
  c: {base_url: https://c.example}
models:
  only-a: {provider: a, price: {input: "1", output: "1"}, aliases: [aa]}
  both:
    deployments:
      - {provider: a, model: x, price: {input: "1", output: "1"}}
      - {provider: b, model: "${B_MODEL}", price: {input: "1", output: "1"}}
      - {provider: c, model: z, price: {input: "1", output: "1"}}
  a/*: {provider: a}
agents:
  dev: {allowed_models: [only-a, aa, a/x]}
"""


def test_optional_providers_are_left_out_with_what_only_they_have(load_text: Load) -> None:
    snapshot = load_text(TEXT)

    assert snapshot.left_out == (
        "optional provider a left out: A_KEY is not set; with it go the models only-a, a/*",
        "optional provider b left out: B_URL is not set, B_KEY is not set",
    )
    assert list(snapshot.endpoints) == ["c"]
    assert list(snapshot.catalog.models) == ["both"]
    assert [d.id for d in snapshot.catalog.models["both"].deployments] == ["c/z"]
    assert snapshot.catalog.aliases == {}
    assert snapshot.wildcards is None


def test_a_start_says_it_in_one_line(load_text: Load) -> None:
    lines = load_text(TEXT).left_out

    assert sum_up(lines) == (
        "2 optional providers left out, with the models that only they have: a, b; `farebox check` says what each lacks"
    )
    assert (sum_up(lines[:1]), sum_up(())) == (lines[0], None)


def test_with_its_variables_an_optional_provider_is_there(load_text: Load) -> None:
    snapshot = load_text(TEXT, {"A_KEY": "k", "B_URL": "http://b", "B_KEY": "k", "B_MODEL": "y"})

    assert snapshot.left_out == ()
    assert [d.id for d in snapshot.catalog.models["both"].deployments] == ["a/x", "b/y", "c/z"]


def test_a_variable_that_only_the_deployment_lacks_is_an_error(problems: Problems) -> None:
    assert problems(TEXT, {"A_KEY": "k", "B_URL": "http://b", "B_KEY": "k"}) == [
        "config.yaml:10:30: models.both.deployments[1].model: B_MODEL is not set"
    ]


def test_a_required_provider_needs_its_variables_and_files(problems: Problems) -> None:
    text = 'providers: {a: {base_url: "${URL}", api_key: "file:none"}, b: {base_url: "${URL}", optional: false}}'

    found = problems(text)

    assert found[0] == "config.yaml:1:27: providers.a.base_url: URL is not set"
    assert found[1].endswith("none: No such file or directory")
    assert found[2] == "config.yaml:1:74: providers.b.base_url: URL is not set"


def test_mistakes_in_a_left_out_provider_are_still_told(problems: Problems) -> None:
    text = 'providers: {a: {base_url: "${URL}", optional: true, timeout: 5}}'

    assert problems(text) == [
        "config.yaml:1:53: providers.a.timeout: unknown setting 'timeout'; did you mean 'timeouts'?"
    ]


def test_places_stay_right_behind_a_left_out_deployment(problems: Problems) -> None:
    text = """\
providers: {a: {base_url: "${URL}", optional: true}, b: {base_url: http://b}}
models:
  m:
    deployments:
      - {provider: a, model: x}
      - {provider: b, model: unheard-of}
"""

    (problem,) = problems(text)

    assert problem.startswith("config.yaml:6:30: models.m.deployments[1].model: 'unheard-of' has no price at 'b'")
