"""What all tests share: real servers, and Hypothesis without deadlines."""

from __future__ import annotations

from hypothesis import settings

from tests.servers import postgres_server, postgres_url, valkey_server, valkey_url

__all__ = ["postgres_server", "postgres_url", "valkey_server", "valkey_url"]

# Machines that run tests are shared and noisy: how long an example took says nothing of it.
settings.register_profile("farebox", deadline=None)
settings.load_profile("farebox")
