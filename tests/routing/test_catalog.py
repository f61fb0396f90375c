"""Models by name and alias, and what a wildcard stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.catalog import Catalog, Deployment, Metering, Model, WildcardModel

GPT = Model("gpt", (Deployment("openai/gpt", "openai", "gpt", None),))
CLAUDE = Model("claude", (Deployment("anthropic/claude", "anthropic", "claude", None),))
CATALOG = Catalog({"gpt": GPT}, {"fast": "gpt"})


def test_find() -> None:
    assert CATALOG.find("gpt") is GPT
    assert CATALOG.find("fast") is GPT
    assert CATALOG.find("Gpt") is None
    assert CATALOG.find("") is None


def test_a_model_goes_before_an_alias_of_its_name() -> None:
    assert Catalog({"gpt": GPT, "fast": CLAUDE}, {"fast": "gpt"}).find("fast") is CLAUDE


def test_with_model_leaves_the_first_as_it_was() -> None:
    more = CATALOG.with_model(CLAUDE)
    assert more.find("claude") is CLAUDE
    assert more.find("fast") is GPT
    assert CATALOG.find("claude") is None


def test_a_deployment_says_which_model_it_serves() -> None:
    shared = Deployment("openai/gpt", "openai", "gpt", None)
    small, large = Model("small", (shared,)), Model("large", (shared,))
    assert [model.deployments[0].model for model in (small, large)] == ["small", "large"]
    assert small.deployments[0].id == large.deployments[0].id
    assert shared.model == ""


@pytest.mark.parametrize(
    ("pattern", "upstream", "name", "found"),
    [
        ("openai/*", "*", "openai/gpt-5", "gpt-5"),
        ("openai/*", "models/*", "openai/gpt-5", "models/gpt-5"),
        ("openai/*", "*", "openai/", None),
        ("openai/*", "*", "openai", None),
        ("openai/*", "*", "xopenai/a", None),
        ("*", "*", "anything at/all", "anything at/all"),
        ("*-preview", "*", "gpt-preview", "gpt"),
        ("a*a", "*", "a", None),
        ("a*a", "*", "aa", None),
        ("a*a", "*", "aba", "b"),
        ("openai/*", "*", "openai/a\nb", "a\nb"),
        ("openai/*", "fixed", "openai/x", "fixed"),
        ("openai/*", "*", "openai/*", "*"),
        ("gpt", "*", "gpt", None),
    ],
)
def test_wildcards(pattern: str, upstream: str, name: str, found: str | None) -> None:
    assert WildcardModel(pattern, "p", upstream).match(name) == found


@given(st.text(min_size=1), st.sampled_from(["", "openai/", "x"]), st.sampled_from(["", "-x", "/y"]))
def test_what_the_star_stands_for_comes_back(middle: str, prefix: str, suffix: str) -> None:
    wildcard = WildcardModel(f"{prefix}*{suffix}", "p", "up/*")
    assert wildcard.match(prefix + middle + suffix) == f"up/{middle}"


def test_the_margin_of_a_stream_is_all_that_may_be_generated_unseen() -> None:
    assert (
        Metering(tokens_per_event=2, tokens_per_s=101.0, cancel_s=0.5, read_ahead_tokens=7).margin_tokens == 2 + 7 + 51
    )
