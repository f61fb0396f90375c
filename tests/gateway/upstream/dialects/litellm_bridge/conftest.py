from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.upstream.dialects.litellm_bridge.bridge import Bridge


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    """One per test; the SDK itself is imported by the first, which takes it 5 to 10 s."""
    made = Bridge()
    try:
        yield made
    finally:
        await made.close()
