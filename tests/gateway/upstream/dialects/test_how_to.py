"""The dialect that docs/how-to/add-a-provider.md writes is one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.config.dialects import DIALECTS
from gateway.upstream.dialects.protocol import Dialect
from tests.documents import ROOT, blocks
from tests.gateway.upstream.dialects.speaking import ENDPOINT, ask, wish_for

PAGE = ROOT / "docs" / "how-to" / "add-a-provider.md"


@pytest.fixture
def acme() -> Dialect:
    (block,) = blocks("python", [PAGE])
    written: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), written)
    dialect: Dialect = written["DIALECT"]
    return dialect


def test_the_example_says_what_it_promises(acme: Dialect) -> None:
    request = ask(seed=7, user="u")

    body = msgspec.json.decode(acme.outgoing(request, wish_for(request), ENDPOINT).body)

    assert body == {"model": "large", "messages": [{"role": "user", "content": "Hello"}], "random_seed": 7}
    assert acme.complaint(400, b'{"error":{"message":"The prompt exceeds the window."}}') == "context_too_long"
    assert acme.name == "acme"


def test_the_page_has_every_dialect() -> None:
    text = PAGE.read_text("utf-8")

    assert [name for name in DIALECTS if f"| `{name}` |" not in text] == []
