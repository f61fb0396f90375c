from __future__ import annotations

from gateway.ledger.operations import Amounts
from gateway.store.valkey.codec import correction
from routing.money import NanoUsd, Usage
from tests.gateway.telemetry.samples import charged


def test_a_correction_takes_from_what_its_orphan_was_counted_under() -> None:
    """An orphan is charged as failed and estimated, at what was reserved; it ended well after all."""
    end = charged(
        usage=Usage(100, 20), cost_nano_usd=NanoUsd(70), listed_nano_usd=NanoUsd(90), purpose="useful", estimated=False
    )
    found = correction(end, Amounts(200, 500))
    assert (found.cost_nano_usd, found.listed_nano_usd) == (70 - 200, 90 - 200)
    assert found.usage == Usage(output_tokens=120 - 500)
    assert (found.purpose, found.estimated, found.outcome, found.resolution) == ("failed", True, "ok", "correction")
    assert correction(end._replace(listed_nano_usd=None), Amounts(200, 500)).listed_nano_usd is None
