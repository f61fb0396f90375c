"""Whole answers of endpoints that the gateway serves from itself."""

from __future__ import annotations

import logging
import time
from typing import Any

import msgspec

from gateway.api.asgi import AsgiReply
from gateway.context import new_request_id
from gateway.errors import FareboxError, ServiceUnavailable
from gateway.journal.database import JournalError
from gateway.reply import Reply

log = logging.getLogger("farebox.api")


async def answer(reply: AsgiReply, status: int, content_type: str, body: bytes) -> None:
    """Send a body under a request id of its own."""
    headers = [(b"content-type", content_type.encode()), (b"x-request-id", new_request_id(time.time()).encode())]
    await reply.whole(status, headers, body)


async def answer_json(reply: AsgiReply, status: int, body: Any) -> None:
    """Send a JSON body."""
    await answer(reply, status, "application/json", msgspec.json.encode(body))


def journal_unavailable(error: JournalError) -> ServiceUnavailable:
    """What to answer when the journal's database cannot be asked. What is wrong with it is for the log."""
    log.error("the journal could not be asked: %s", error)
    return ServiceUnavailable("The gateway's journal cannot be read or written now; try again.", reason="journal")


async def answer_error(reply: Reply, error: Exception) -> None:
    """Tell a FareboxError as it is. Anything else is a defect of ours: logged in full, told in brief."""
    request_id = new_request_id(time.time())
    if isinstance(error, JournalError):
        error = journal_unavailable(error)
    if not isinstance(error, FareboxError):
        log.error("unforeseen error", exc_info=error, extra={"request_id": request_id})
        error = FareboxError("An error inside the gateway; its log tells more under this request id.")
    await reply.error(error, request_id)
