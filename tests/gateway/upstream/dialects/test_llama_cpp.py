from __future__ import annotations

from typing import Any

import pytest

from gateway.upstream.dialects.llama_cpp import DIALECT
from tests.gateway.upstream.dialects.speaking import sent


@pytest.mark.parametrize(("fields", "bound"), [
    ({"n_predict": 9000, "max_tokens": 10}, 10),
    ({"n_predict": 5, "max_completion_tokens": 10}, 5),
    ({"n_predict": 5, "max_completion_tokens": 10, "max_tokens": 4}, 4),
    ({"n_predict": -1, "max_tokens": 10}, 10),
    ({"n_predict": 7}, 7),
])  # fmt: skip
def test_its_own_bound_does_not_win(fields: dict[str, Any], bound: int) -> None:
    body = sent("llama_cpp", **fields)

    assert body["max_tokens"] == bound
    assert body.keys().isdisjoint(("n_predict", "max_completion_tokens"))


@pytest.mark.parametrize("status", [400, 500])
def test_its_errors(status: int) -> None:
    body = b'{"error":{"code":400,"message":"it exceeds the context","type":"exceed_context_size_error","n_ctx":256}}'

    assert DIALECT.complaint(status, body) == "context_too_long"
    assert DIALECT.complaint(503, b'{"error":{"message":"Loading model"}}') == "failed"
