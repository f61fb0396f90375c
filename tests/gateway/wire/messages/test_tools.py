"""Tools that Anthropic runs: how often they may be used bounds what the request may cost."""

from __future__ import annotations

import json

import pytest

from gateway.errors import InvalidField
from gateway.wire.messages import read


@pytest.mark.parametrize("uses", [0, -1, -100_000])
def test_no_tool_is_used_less_than_once(uses: int) -> None:
    """Fewer calls than none would make the request cheaper than nothing, and leave others room in its budget."""
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": uses}
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}], "tools": [search]}
    with pytest.raises(InvalidField) as caught:
        read(json.dumps(asked).encode())
    assert caught.value.param == "tools.0.max_uses"
