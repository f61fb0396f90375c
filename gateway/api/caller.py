"""Who calls, on paths that the gateway answers itself."""

from __future__ import annotations

from gateway.api.asgi import Scope
from gateway.identity.keys import Principal
from gateway.services import Services


async def principal_of(services: Services, scope: Scope) -> Principal:
    """The caller, by the key in the request's headers. Raises InvalidKey."""
    return await services.pipeline.authenticate(services.snapshot, scope["headers"])
