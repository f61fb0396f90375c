"""Attempts, breakers and refused credentials as Prometheus sees them."""

from __future__ import annotations

import pytest

from gateway.telemetry.events import AttemptDenied, AttemptEnded, BreakerChanged, CredentialsRefused
from gateway.telemetry.metrics import Known, Metrics
from tests.gateway.telemetry.samples import charged
from tests.gateway.telemetry.test_metrics import at, deployment, known, scrape

GPT, MINI = "openai/gpt", "openai/mini"


def of(deployment_id: str) -> dict[str, str]:
    return {"model": "gpt", "provider": "openai", "deployment": deployment_id}


def declared(*deployments: str) -> Known:
    return known((), deployments=tuple(deployment(each, "gpt") for each in deployments))


def metrics(*deployments: str, cap: int = 500) -> Metrics:
    made = Metrics(version="9.9")
    made.set_known(declared(*(deployments or (GPT, MINI))), max_label_values=cap)
    return made


async def test_attempts_by_deployment_kind_and_outcome() -> None:
    samples = await scrape(
        metrics(),
        *[AttemptEnded(GPT, "first", "server_error")] * 2,
        charged(deployment=GPT, outcome="error", purpose="failed"),  # the same one's
        charged(deployment=MINI, purpose="fallback"),
        *(charged(deployment=f"openai/made-up-{number}", outcome="shortened") for number in range(9)),
        AttemptDenied("gpt", "retry"),
        AttemptDenied("gpt", "retry"),
    )
    assert at(samples, "attempts_total", **of(GPT), kind="first", outcome="server_error") == 2
    assert at(samples, "attempts_total", **of(MINI), kind="fallback", outcome="ok") == 1
    assert (
        at(
            samples,
            "attempts_total",
            model="_other",
            provider="openai",
            deployment="_other",
            kind="first",
            outcome="ok",
        )
        == 9
    )
    assert at(samples, "attempts_total", **of(GPT), kind="first", outcome="ok") is None
    assert at(samples, "attempts_denied_total", model="gpt", kind="retry") == 2


@pytest.mark.parametrize(
    ("state", "shown"), [("closed", 0), ("half_open", 1), ("open", 2), ("forced_open", 2), ("forced_closed", 0)]
)
async def test_a_breakers_state(state: str, shown: int) -> None:
    counted = metrics()
    assert at(await scrape(counted), "breaker_state", breaker=GPT) == 0
    samples = await scrape(counted, BreakerChanged(1.0, GPT, "open", state, "why"))
    assert at(samples, "breaker_state", breaker=GPT) == shown
    assert at(samples, "breaker_state", breaker="openai") == 0
    assert at(samples, "breaker_transitions_total", breaker=GPT, state=state, reason="why") == 1


async def test_a_breaker_that_nobody_configured_has_no_state() -> None:
    samples = await scrape(metrics(), BreakerChanged(1.0, "openai/made-up", "closed", "open", "tripped"))
    assert at(samples, "breaker_transitions_total", breaker="_other", state="open", reason="tripped") == 1
    assert {dict(labels)["breaker"] for name, labels in samples if name == "breaker_state"} == {GPT, MINI, "openai"}


async def test_a_reload_keeps_states_and_drops_what_is_gone() -> None:
    counted = metrics(GPT, MINI, cap=3)
    opened = [BreakerChanged(1.0, name, "closed", "open", "tripped") for name in (GPT, MINI)]
    await scrape(counted, *opened, charged(deployment=MINI))
    counted.set_known(declared(GPT, "openai/new"), max_label_values=3)
    samples = await scrape(counted)
    states = {dict(labels)["breaker"]: value for (name, labels), value in samples.items() if name == "breaker_state"}
    assert states == {GPT: 2, "openai/new": 0, "openai": 0}
    assert at(samples, "breaker_transitions_total", breaker=MINI, state="open", reason="tripped") is None
    assert at(samples, "attempts_total", **of(MINI), kind="first", outcome="ok") == 1  # its place is not needed


async def test_credentials() -> None:
    counted = metrics()
    assert at(await scrape(counted), "credentials_refused", provider="openai") == 0
    refused = await scrape(counted, CredentialsRefused(1.0, "openai", refused=True))
    assert at(refused, "credentials_refused", provider="openai") == 1
    mended = await scrape(counted, CredentialsRefused(2.0, "openai", refused=False))
    assert at(mended, "credentials_refused", provider="openai") == 0
