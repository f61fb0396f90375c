# ruff: noqa: E501  # a case a line reads better than one broken into pieces
from __future__ import annotations

import pytest

from gateway.config.compile import resolve_wildcard
from routing.catalog import Deployment
from routing.money import PricePoint

from .conftest import Load, Problems

PROVIDERS = """\
providers:
  openai: {base_url: https://api.openai.com/v1}
  mine: {base_url: http://127.0.0.1:1/v1}
  resold: {base_url: http://127.0.0.1:2/v1, price_provider: openai}
  by-url: {base_url: https://api.groq.com/openai/v1}
"""
FREE = 'price: {input: "0", output: "0"}'


def point(load_text: Load, text: str, name: str, input_tokens: int = 0, tier: str = "default") -> PricePoint:
    model = load_text(PROVIDERS + text).catalog.find(name)
    assert model is not None
    price = model.deployments[0].price
    assert price is not None
    return price.at(input_tokens, 0.0, tier)


def test_a_price_of_the_configuration_wins_over_the_table(load_text: Load) -> None:
    found = point(load_text, 'models: {gpt-4o: {provider: openai, price: {input: "0.1", output: "0.2"}}}', "gpt-4o")

    assert found.id == "config:gpt-4o"
    assert (found.input, found.output, found.cache_read) == (100_000, 200_000, 100_000)


def test_the_tables_price_is_found_by_provider_name_price_provider_or_url(load_text: Load) -> None:
    models = """\
models:
  a: {provider: openai, model: gpt-4o}
  b: {provider: resold, model: gpt-4o}
  c: {provider: by-url, model: llama-3.3-70b-versatile}
"""

    assert point(load_text, models, "a").id == point(load_text, models, "b").id == "genai-prices:openai/gpt-4o"
    assert point(load_text, models, "a").input == 2_500_000
    assert point(load_text, models, "c").id == "genai-prices:groq/llama-3.3-70b-versatile"


def test_context_and_service_tiers_of_a_configured_price(load_text: Load) -> None:
    models = """\
models:
  m:
    provider: mine
    price:
      input: "1"
      output: "2"
      context_tiers: [{above_input_tokens: 1000, input: "3"}]
      service_tiers: {flex: {input: "0.5", context_tiers: []}}
"""

    assert point(load_text, models, "m", 1000).input == 1_000_000
    assert point(load_text, models, "m", 1001).input == 3_000_000
    assert point(load_text, models, "m", 1001, "flex").input == 500_000


def test_an_explicit_zero_is_a_price(load_text: Load) -> None:
    assert point(load_text, f"models: {{m: {{provider: mine, {FREE}}}}}", "m").input == 0


def test_a_model_without_a_price_is_refused_with_its_nearest_priced_names(problems: Problems) -> None:
    (problem,) = problems(PROVIDERS + "models:\n  gpt-4oo: {provider: openai}\n")

    assert problem.startswith(
        "config.yaml:7:3: models.gpt-4oo.model: 'gpt-4oo' has no price at 'openai': add `price:` with `input` and `output`"
    )
    assert "gpt-4o" in problem.rpartition("Models with a price: ")[2]


def test_a_ceiling_is_charged_instead_and_marked(load_text: Load) -> None:
    text = 'unpriced: {ceiling: {input: "10", output: "40"}}\nmodels: {m: {provider: mine}, n: {provider: openai, model: gpt-4o}}\n'
    snapshot = load_text(PROVIDERS + text)
    unpriced, priced = (snapshot.catalog.models[name].deployments[0] for name in "mn")

    assert (unpriced.unpriced, priced.unpriced) == (True, False)
    assert unpriced.price is not None
    assert unpriced.price.at(0, 0.0).output == 40_000_000
    assert unpriced.price.at(0, 0.0).id == "config:unpriced"


def test_deployments_keep_their_order_and_their_limits(load_text: Load) -> None:
    snapshot = load_text(
        PROVIDERS
        + f"""\
models:
  m:
    deployments:
      - {{provider: mine, model: x, {FREE}, context_tokens: 100, max_output_tokens: 10}}
      - {{provider: openai, model: gpt-4o}}
"""
    )
    first, second = snapshot.catalog.models["m"].deployments

    assert (first.id, second.id) == ("mine/x", "openai/gpt-4o")
    assert (first.context_tokens, first.max_output_tokens) == (100, 10)
    assert second.context_tokens == 128_000  # as the price table knows it


def test_aliases_lead_to_their_model(load_text: Load) -> None:
    catalog = load_text(PROVIDERS + "models: {gpt-4o: {provider: openai, aliases: [big, best]}}").catalog

    assert catalog.find("big") is catalog.find("best") is catalog.models["gpt-4o"]


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        ("a: {}", "7:3: models.a: needs `provider` (and `model`), or a list of `deployments`"),
        ("a: {deployments: []}", "7:20: models.a.deployments: List should have at least 1 item after validation, not 0"),
        (
            f"a: {{model: x, deployments: [{{provider: mine, {FREE}}}]}}",
            "7:3: models.a: has `deployments`; `model` belongs into one of them",
        ),
        (f"a: {{provider: mine, model: 'x*', {FREE}}}", "7:30: models.a.model: only a model with `*` in its own name may have one here"),
        (f"a: {{provider: mine, {FREE}, aliases: ['x*']}}", "7:67: models.a.aliases[0]: an alias has no `*`"),
        ("'a/**': {provider: mine}", "7:3: models.a/**: a wildcard has one `*`"),
        ("'a/*': {provider: mine, model: x}", "7:34: models.a/*.model: the model of a wildcard has one `*` too"),
        ("'a/*': {provider: mine, aliases: [x]}", "7:36: models.a/*.aliases: a wildcard has no aliases"),
        (
            f"a: {{provider: mine, model: m, {FREE}}}\n  b: {{provider: mine, model: m, price: {{input: '1', output: '1'}}}}",
            "8:3: models.b: the same provider and model as models.a, with another price or other limits; they must agree",
        ),
        (
            f"a: {{provider: mine, {FREE}, aliases: [b, c]}}\n  b: {{provider: mine, {FREE}, aliases: [c]}}",
            "7:67: models.a.aliases[0]: 'b' is a model's own name",
        ),
        (
            "a: {provider: mine, price: {input: '1', output: '1', service_tiers: {default: {}}}}",
            "7:30: models.a.price: service_tiers.default: the default tier's rates are the price's own fields",
        ),
        (
            "a: {provider: mine, price: {input: '1', output: '0.0000001'}}",
            '7:51: models.a.price.output: not an amount of USD; write a decimal number such as "0.15", with at most 6 decimals',
        ),
        ("a: {provider: mine, price: {input: '-1', output: '1'}}", "7:38: models.a.price.input: not an amount of USD; "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_model(problems: Problems, models: str, problem: str) -> None:
    assert problems(PROVIDERS + f"models:\n  {models}\n")[0].startswith(f"config.yaml:{problem}")


def test_a_wildcard_finds_priced_models_and_says_when_there_is_no_price(load_text: Load) -> None:
    snapshot = load_text(
        PROVIDERS + f"models: {{'openai/*': {{provider: openai}}, 'mine/*': {{provider: mine, {FREE}}}}}"
    )
    priced = resolve_wildcard(snapshot, "openai/gpt-4o")
    unpriced = resolve_wildcard(snapshot, "openai/unheard-of")
    free = resolve_wildcard(snapshot, "mine/x")

    assert priced is not None
    assert priced.deployments[0].price is not None
    assert (priced.name, priced.deployments[0].id) == ("openai/gpt-4o", "openai/gpt-4o")
    assert unpriced is not None
    assert unpriced.deployments[0].price is None
    assert free is not None
    assert free.deployments[0].price is not None
    assert free.deployments[0].price.at(0, 0.0).id == "config:mine/*"
    assert resolve_wildcard(snapshot, "other/x") is None
    assert resolve_wildcard(snapshot, "openai/") is None
    assert resolve_wildcard(snapshot, "openai/" + "x" * 1000) is None
    assert resolve_wildcard(snapshot, "openai/gpt-4o") is priced


def test_without_wildcards_there_is_nothing_to_find(load_text: Load) -> None:
    assert resolve_wildcard(load_text(""), "openai/gpt-4o") is None


def test_the_longest_text_before_the_star_decides(load_text: Load) -> None:
    text = f"models: {{'o*': {{provider: mine, {FREE}}}, 'openai/*': {{provider: openai}}, '*': {{provider: resold, {FREE}}}}}"
    snapshot = load_text(PROVIDERS + text)

    assert [wildcard.pattern for wildcard in snapshot.catalog.wildcards] == ["openai/*", "o*", "*"]
    for name, deployment in [("openai/x", "openai/x"), ("opus", "mine/pus"), ("x", "resold/x")]:
        model = resolve_wildcard(snapshot, name)
        assert model is not None
        assert model.deployments[0].id == deployment


def test_a_wildcard_under_a_ceiling_is_charged_it(load_text: Load) -> None:
    text = 'unpriced: {ceiling: {input: "10", output: "40"}}\nmodels: {"mine/*": {provider: mine, model: "pre-*"}}\n'
    model = resolve_wildcard(load_text(PROVIDERS + text), "mine/x")

    assert model is not None
    assert model.deployments[0].unpriced
    assert model.deployments[0].upstream_model == "pre-x"


def test_allowed_models_may_be_names_aliases_and_patterns(problems: Problems) -> None:
    text = """\
models: {gpt-4o: {provider: openai, aliases: [big]}, 'openai/*': {provider: openai}}
agents: {dev: {allowed_models: [gpt-4o, big, openai/x, 'gpt-*', bigg]}}
"""

    assert problems(PROVIDERS + text) == [
        "config.yaml:7:65: agents.dev.allowed_models[4]: no model is called 'bigg'; did you mean 'big'?"
    ]


def deployed(load_text: Load, text: str, name: str) -> Deployment:
    model = load_text(PROVIDERS + text).catalog.find(name)
    assert model is not None
    return model.deployments[0]


def test_a_tariff_is_the_deployments_then_its_providers_then_what_is_listed(load_text: Load) -> None:
    text = """\
  fees: {base_url: https://api.openai.com/v1, price_provider: openai, tariff: {web_search: "0.5", "image:64x64": "1"}}
models:
  a: {provider: fees, model: gpt-4o}
  b: {provider: fees, model: gpt-4o-mini, tariff: {web_search: "0.25", search_unit: "0.000000001"}}
  c: {provider: fees, model: dall-e-3}
  d: {provider: mine, model: any, price: {input: "0", output: "0"}}
"""
    assert deployed(load_text, text, "a").tariff["web_search"] == 500_000_000
    assert deployed(load_text, text, "a").tariff["file_search"] == 2_500_000
    assert deployed(load_text, text, "b").tariff["web_search"] == 250_000_000
    assert deployed(load_text, text, "b").tariff["search_unit"] == 1
    listed = deployed(load_text, text, "c").tariff
    assert {unit: nano for unit, nano in listed.items() if unit.startswith("image")} == {"image:64x64": 1_000_000_000}
    assert deployed(load_text, text, "d").tariff == {}


def test_what_is_priced_by_its_tariff_alone_serves_no_other_api(load_text: Load) -> None:
    text = """\
models:
  speaker: {provider: openai, model: tts-1}
  painter: {provider: mine, model: any, tariff: {image: "0.04"}}
  moderator: {provider: openai, model: omni-moderation-latest}
  talker: {provider: mine, model: other, tariff: {image: "0.04"}, price: {input: "1", output: "1"}}
"""
    assert deployed(load_text, text, "speaker").apis == {"speech"}
    assert deployed(load_text, text, "painter").apis == {"images", "image_edits", "image_variations"}
    assert deployed(load_text, text, "moderator").apis == {"moderations"}
    assert deployed(load_text, text, "talker").apis is None
    assert point(load_text, text, "painter")[1:] == (0,) * (len(PricePoint._fields) - 1)


def test_a_tariff_for_searches_is_no_price_of_tokens(problems: Problems) -> None:
    assert "has no price" in str(problems(PROVIDERS + 'models: {a: {provider: mine, tariff: {web_search: "1"}}}'))


def test_a_tariff_is_written_in_quoted_decimals(problems: Problems) -> None:
    assert "quote amounts" in str(
        problems(PROVIDERS + "models: {a: {provider: openai, model: gpt-4o, tariff: {web_search: 0.5}}}")
    )
