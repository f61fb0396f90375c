"""Anthropic: the usage and cost reports of the Admin API (JSON), and the Console's exports of usage and cost (CSV).

Input counts leave cached tokens out, as everywhere at Anthropic: they are added here. The cost report's amounts are
cents, the Console's dollars. Days are UTC. platform.claude.com/docs/en/api/admin/cost_report.
"""

from __future__ import annotations

from gateway.reports.bills.bill import BillError, BillLine, Fields

_COSTS = ("cost_usd",)
_OF_TOKENS = ("", "tokens", "token")
_DAYS = ("starting_at", "usage_date_utc", "date")
_USED = ("uncached_input_tokens", "usage_input_tokens_no_cache", "output_tokens", "usage_output_tokens")


def usage_or_cost(bucket: Fields, result: Fields) -> BillLine | None:
    """A result of a bucket, or a row of a CSV (then both are that). None for a day without any. Raises BillError."""
    batch = result.text("service_tier", "usage_type") == "batch"
    model = result.text("model", "model_version")
    if not model and result.text("cost_type") not in _OF_TOKENS:  # of no model, but no riddle either
        model = result.text("description", "cost_type")
    if result.text("amount"):
        currency = result.text("currency").lower()
        if currency not in {"", "usd"}:
            raise BillError(result.where, f"the amount is in `{currency}`, not in USD")
        return BillLine(bucket.day(*_DAYS), model, cost=result.amount("amount") / 100, batch=batch)
    if result.text(*_COSTS):
        return BillLine(bucket.day(*_DAYS), model, cost=result.amount(*_COSTS), batch=batch)
    if not result.text(*_USED):
        return None
    read = result.count("cache_read_input_tokens", "usage_input_tokens_cache_read")
    written = result.count("ephemeral_5m_input_tokens", "usage_input_tokens_cache_write_5m")
    written += result.count("ephemeral_1h_input_tokens", "usage_input_tokens_cache_write_1h")
    return BillLine(
        bucket.day(*_DAYS),
        model,
        input_tokens=result.count("uncached_input_tokens", "usage_input_tokens_no_cache") + read + written,
        output_tokens=result.count("output_tokens", "usage_output_tokens"),
        cached_tokens=read,
        batch=batch,
    )
