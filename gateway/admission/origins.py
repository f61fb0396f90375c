"""Whose attempt it is, as the store's log and the orphans' charges know it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.admission.labels import label_of
from gateway.config.snapshot import Agent
from gateway.context import RequestContext
from gateway.ledger.operations import Origin
from routing.catalog import Deployment


def origin_of(
    context: RequestContext, agent: Agent, deployment: Deployment, path: Sequence[str], number: int
) -> Origin:
    """The origin of attempt `number` of a request. `path`: its run and the ancestors, the nearest first."""
    return Origin(
        context.request_id,
        number,
        agent.org,
        agent.team,
        agent.id,
        ">".join(reversed(path)) if path else label_of(agent, context.attribution),
        context.attribution.user,
        context.attribution.tags,
        deployment.model,
        deployment.id,
        deployment.provider,
        deployment.upstream_model,
        deployment.unpriced,
    )
