"""The Valkey store against the model that every store is held to, on a real server."""

from __future__ import annotations

import asyncio
import gc

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.gateway.store.machine import Adapter, StoreMachine
from tests.gateway.store.valkey.driver import Driver


def drive(url: str, examples: int, steps: int) -> None:
    loop = asyncio.new_event_loop()

    class ValkeyMachine(StoreMachine):
        def adapter(self) -> Adapter:
            return Driver(loop, url)

    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=False,
    )
    try:
        run_state_machine_as_test(ValkeyMachine, settings=chosen)
    finally:
        loop.close()
        gc.collect()


def test_valkey_does_what_the_model_says(valkey_url: str) -> None:
    drive(valkey_url, examples=30, steps=30)


@pytest.mark.long
def test_valkey_does_what_the_model_says_at_length(valkey_url: str) -> None:
    drive(valkey_url, examples=500, steps=50)
