"""What all tests share: real servers, and Hypothesis without deadlines."""

from __future__ import annotations

import httpx
from hypothesis import settings

from tests.servers import postgres_server, postgres_url, valkey_server, valkey_url

__all__ = ["postgres_server", "postgres_url", "valkey_server", "valkey_url"]

# Machines that run tests are shared and noisy: how long an example took says nothing of it.
settings.register_profile("farebox", deadline=None)
settings.load_profile("farebox")
# httpx gives up after five seconds by itself, which such a machine may take for anything.
for _client in (httpx.Client, httpx.AsyncClient):
    (_client.__init__.__kwdefaults__ or {})["timeout"] = httpx.Timeout(60.0)
