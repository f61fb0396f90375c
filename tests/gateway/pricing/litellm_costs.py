"""Run in a process of its own by test_litellm.py: reads cases as JSON from stdin, prints what LiteLLM makes of each.

A case is `{"listed": its key in LiteLLM's map, "model", "usage", "service_tier", "call_type"}`; an answer is a cost in
USD, or null where LiteLLM's map does not have the model.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the packaged map, never the network

import litellm


def cost(case: dict) -> float | None:
    listed = litellm.model_cost.get(case["listed"])
    if listed is None:
        return None
    answer = litellm.EmbeddingResponse if case["call_type"] == "embedding" else litellm.ModelResponse
    return litellm.completion_cost(
        completion_response=answer(model=case["model"], usage=litellm.Usage(**case["usage"])),
        model=case["model"],
        custom_llm_provider=listed["litellm_provider"],
        service_tier=case["service_tier"],
        call_type=case["call_type"],
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps([cost(case) for case in json.load(sys.stdin)]))
