"""Answers that come in one piece: an error status, or the whole answer."""

from __future__ import annotations

import time

from gateway.errors import UpstreamFailure
from gateway.exchange.delivery import Delivery
from gateway.exchange.failures import AttemptFailed, Refusal
from gateway.exchange.head import answer_headers
from gateway.exchange.verifying import verify_whole
from gateway.upstream.attempt import NOTHING
from gateway.upstream.dialects.translated import TranslatedResponse
from gateway.upstream.refusals import failed_answer, may_be_billed, refusal
from gateway.upstream.secrets import mask
from gateway.upstream.transport import Response
from gateway.upstream.verdict import SERVER_ERROR, failure_of_status
from gateway.wire.answers import MalformedAnswer
from routing.failures import Failure


async def relay_refusal(delivery: Delivery, response: Response) -> None:
    """An error status: nothing was generated, so nothing was billed, but for those of a proxy that gave up.

    Always raises AttemptFailed.
    """
    attempt, provider = delivery.attempt, delivery.attempt.deployment.provider
    body = await response.read()
    attempt.first_byte_s = time.monotonic()
    if may_be_billed(response.status):
        delivery.settlement.unseen("timeout")
    else:
        delivery.settlement.nothing("error")
    said = response.original if isinstance(response, TranslatedResponse) else body
    failure = failure_of_status(attempt.complaint(response.status, said), response.headers, time.time())
    body = mask(body, attempt.target.endpoint.headers)
    error = refusal(provider, response.status, failure.kind)
    if error is not None:
        raise AttemptFailed(failure, error)
    headers = answer_headers(delivery.context, delivery.settlement, response)
    headers.append((b"x-farebox-upstream-status", b"%d" % response.status))
    raise AttemptFailed(failure, Refusal(response.status, headers, body, attempt.target.native))


async def relay_whole(delivery: Delivery, response: Response) -> None:
    """The answer to a client that does not stream. Raises AttemptFailed, settled, for one that is none."""
    attempt, context, settlement = delivery.attempt, delivery.context, delivery.settlement
    body = b""
    try:
        body = await response.read()  # a dialect's own words may be none either
        attempt.first_byte_s = time.monotonic()
        answer = attempt.target.wire.read_answer(body)
    except MalformedAnswer:
        raise _malformed(delivery, response, len(body)) from None
    usage, tier, settlement.reported = answer.usage, answer.service_tier, answer.reported
    settlement.services = answer.services
    if answer.failed:
        settlement.settle("error", usage or NOTHING, estimated=False, service_tier=tier)
        raise AttemptFailed(SERVER_ERROR, failed_answer(attempt.deployment.provider, response.status))
    verify_whole(delivery, response, body, answer)
    delivery.commit()
    context.first_byte_s = attempt.first_byte_s
    if usage is None:
        settlement.size("ok", 0, answer.text_bytes, service_tier=tier)
    else:
        cut = settlement.permit is not None and answer.cut
        settlement.settle("ok", usage, estimated=False, service_tier=tier, cut=cut)
    context.outcome = "ok"
    if context.decided is not None:
        context.decided.answer = attempt.target.wire.as_chat(body)
    await delivery.whole(response, body, context.cost)


async def relay_free(delivery: Delivery, response: Response) -> None:
    """The answer to what nobody bills, as it comes."""
    body = await response.read()
    delivery.attempt.first_byte_s = delivery.context.first_byte_s = time.monotonic()
    delivery.commit()
    delivery.settlement.nothing("ok")
    delivery.context.outcome = "ok"
    await delivery.whole(response, body, delivery.context.cost)


def _malformed(delivery: Delivery, response: Response, body_bytes: int) -> AttemptFailed:
    delivery.settlement.size("malformed", 1, body_bytes)
    error = UpstreamFailure(
        f"The provider `{delivery.attempt.deployment.provider}` sent an answer that is none: no JSON, or nothing "
        "in it.",
        upstream_status=response.status,
        reason="malformed",
    )
    return AttemptFailed(Failure("malformed"), error)
