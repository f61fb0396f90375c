"""Small questions to servers on this machine."""

from __future__ import annotations

from typing import Any

from openai import DefaultAsyncHttpxClient


async def get_json(url: str) -> Any:
    """The JSON at a URL. Raises OSError when nothing answers there or the answer is an error."""
    from httpx2 import HTTPError

    async with DefaultAsyncHttpxClient(trust_env=False, timeout=10.0) as client:
        try:
            answer = await client.get(url)
            answer.raise_for_status()
            return answer.json()
        except (HTTPError, ValueError) as error:
            raise OSError(f"{url}: {error}") from None
