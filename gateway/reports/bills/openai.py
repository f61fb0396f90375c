"""OpenAI: the usage and costs endpoints of the organization API (JSON), and the usage page's exports (CSV).

Costs come without a model, in line items such as `gpt-5-mini, input_tokens`; usage with `group_by=model`. Input counts
include cached ones. Days are UTC. developers.openai.com/api/reference, resources admin/organization/usage.
"""

from __future__ import annotations

from gateway.reports.bills.bill import BillError, BillLine, Fields


def usage_or_cost(bucket: Fields, result: Fields) -> BillLine | None:
    """A result of a bucket, or a row of a CSV (then both are that). None for a day without any. Raises BillError."""
    if result.text("amount_value", "cost_usd", "value"):
        currency = result.text("amount_currency", "currency").lower()
        if currency not in {"", "usd"}:
            raise BillError(result.where, f"the amount is in `{currency}`, not in USD")
        item = result.text("line_item", "model")
        return BillLine(_day(bucket), item.partition(",")[0], cost=result.amount("amount_value", "cost_usd", "value"))
    if not result.text("input_tokens", "output_tokens", "num_model_requests"):
        return None
    return BillLine(
        _day(bucket),
        result.text("model"),
        input_tokens=result.count("input_tokens"),
        output_tokens=result.count("output_tokens"),
        cached_tokens=result.count("input_cached_tokens"),
        requests=result.count("num_model_requests"),
        batch=result.text("batch").lower() == "true",
    )


def _day(of: Fields) -> int:
    return of.day("start_time", "start_time_iso", "date")
