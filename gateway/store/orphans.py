"""The charge of an attempt whose gateway was lost."""

from __future__ import annotations

from gateway.ledger.operations import Amounts, Origin
from gateway.telemetry.events import ChargePosted
from routing.money import NanoUsd, Usage


def orphan_charge(
    name: str, origin: Origin, at_s: float, window_at_s: float, amounts: Amounts, *, own_s: float = 0.0
) -> ChargePosted:
    """The charge of an attempt whose gateway was lost: all that it had reserved, its tokens as output.

    `own_s`: when it was reserved, where it spends a carve; 0 or `window_at_s` otherwise.
    """
    return ChargePosted(
        charge_id=name,
        request_id=origin.request_id,
        attempt=origin.attempt,
        at_s=at_s,
        org=origin.org,
        team=origin.team,
        agent=origin.agent,
        model=origin.model,
        deployment=origin.deployment,
        provider=origin.provider,
        upstream_model=origin.upstream_model,
        usage=Usage(output_tokens=amounts.tokens),
        price_point="reserved",
        service_tier="",
        cost_nano_usd=NanoUsd(amounts.money),
        estimated=True,
        unpriced=origin.unpriced,
        outcome="orphaned",
        purpose="failed",
        upstream_status=None,
        latency_ms=0.0,
        first_token_ms=None,
        run_path=origin.run_path,
        user=origin.user,
        tags=origin.tags,
        window_at_s=window_at_s,
        resolution="orphaned",
        reserved_nano_usd=NanoUsd(amounts.money),
        reserved_at_s=0.0 if own_s == window_at_s else own_s,
    )
