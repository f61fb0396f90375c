"""One response that is made while its client does not wait: its state, its events, and the reply that collects them.

    accepted ──▶ running ──▶ completed | incomplete | failed | cancelled

Nothing of it is accepted before the pipeline has begun to call somebody (or waits for money): what it refuses until
then is told to the client that asks, as to any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from gateway.context import RequestContext
from gateway.errors import FareboxError
from gateway.journal.kept import ResponseRow
from gateway.reply import Headers
from gateway.responses.objects import (
    FINAL_EVENTS,
    failed,
    final_event,
    read_event,
    read_response,
    values_of,
    with_values,
)
from gateway.wire.sse import EventSplitter, EventTooLarge, event_data, with_data

_CUT: Final = "The stream of the answer ended before the answer was whole; ask again."


class Refused(NamedTuple):
    """What the client that asks is told instead."""

    error: FareboxError | None = None
    request_id: str = ""
    status: int = 0
    headers: Headers = []
    body: bytes = b""


class Job:
    """A response in the background. Used from one loop."""

    def __init__(self, row: ResponseRow, max_event_bytes: int, on_accepted: Callable[[], object]) -> None:
        """`row` is what is kept of it at its beginning; events beyond `max_event_bytes` are not kept for replay."""
        self.row = row
        self._on_accepted = on_accepted
        self.body = row.body
        """The response object as it stands."""
        self.status = row.status
        self.kept = False
        """Its ending is on its way to the disk."""
        self.events: list[tuple[int, bytes]] = []
        """With their numbers, for who reads along."""
        self.accepted = asyncio.Event()
        self.ended = asyncio.Event()
        self.refused: Refused | None = None
        self.abandoned = False
        """Deleted, or ended from outside: nothing of it is written any more."""
        self._room = max_event_bytes
        self._follows = values_of(row.body, "previous_response_id", "conversation")
        self._news = asyncio.Event()
        self._leave: Callable[[], None] | None = None
        self.left = False
        """Whoever it was for has gone."""

    # --- from the pipeline ---

    def on_leave(self, callback: Callable[[], None] | None) -> None:
        """What is to be called when it is cancelled; whoever sets it first has begun to serve it."""
        self._leave = callback
        if callback is None:
            return
        self.accept()
        if self.left:
            callback()

    def accept(self) -> None:
        """It will be answered, well or not."""
        if not self.accepted.is_set() and self.refused is None:
            self.status = "in_progress"
            self.body = with_values(self.body, status="in_progress")
            self.accepted.set()
            self._on_accepted()

    def refuse(self, refused: Refused) -> None:
        """It was turned down before it was accepted."""
        self.refused = refused
        self.ended.set()

    def event(self, event: bytes) -> None:
        """Take the next event of its stream."""
        found = read_event(event)
        if found is None or self.ended.is_set():
            return
        if found.response is not None:
            body = self.own(found.response)
            event = with_data(event, _with_response(event_data(event), body))
            if found.type in FINAL_EVENTS:
                self.finish(body, event, found.number)
                return
            self.body = body
        number = found.number if found.number is not None else len(self.events)
        self._room -= len(event)
        if self._room >= 0:
            self._tell(number, event)

    def own(self, response: bytes) -> bytes:
        """A response object as the client is to see it: its provider may know it by another name, and all as input."""
        return with_values(response, id=self.row.id, background=True, **self._follows)

    def finish(self, body: bytes, event: bytes | None = None, number: int | None = None) -> None:
        """It has ended so; the first ending counts."""
        if self.ended.is_set():
            return
        answer = read_response(body)
        self.body = body
        self.status = "failed" if answer is None else answer.status
        if number is None:
            number = self.next_number
        self._tell(number, event or final_event(body, self.status, number))
        self.ended.set()

    def fail(self, message: str, code: str = "server_error") -> None:
        """It has failed."""
        self.finish(failed(self.body, message, code))

    def cancel(self) -> None:
        """Its client wants it no more: the provider is told so, and what it has made by now is charged."""
        if self.kept:  # too late
            return
        self.finish(with_values(self.body, status="cancelled"))
        self.leave()

    def leave(self) -> None:
        """Tell who serves it that nobody waits any more."""
        self.left = True
        if self._leave is not None:
            self._leave()

    # --- for who reads along ---

    @property
    def next_number(self) -> int:
        """What comes after the latest event."""
        return self.events[-1][0] + 1 if self.events else 0

    def _tell(self, number: int, event: bytes) -> None:
        self.events.append((number, event))
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def after(self, place: int) -> list[tuple[int, bytes]]:
        """The events from a place in the list on; waits for one. Empty when it has ended and there is none."""
        while len(self.events) <= place and not self.ended.is_set():
            await self._news.wait()
        return self.events[place:]


class JobReply:
    """The pipeline's reply, of which nobody waits for a byte. What it is given is in the Responses API's own words."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._splitter = EventSplitter()
        self.started = False

    @property
    def blocked(self) -> bool:
        """Nobody reads slowly here."""
        return False

    def asked(self, context: RequestContext) -> None:
        """Nothing is translated here."""

    def as_it_is(self) -> None:
        """Nothing is translated here."""

    def as_bytes(self) -> None:
        """Responses are text."""

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """What is to be called when the job is cancelled."""
        self._job.on_leave(callback)

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """The answer, or a provider's refusal."""
        self.started = True
        job = self._job
        if 200 <= status < 300:
            job.accept()
            try:
                job.finish(job.own(body))
            except msgspec.DecodeError:
                job.fail("The provider's answer could not be read.")
        elif not job.accepted.is_set():
            job.refuse(Refused(None, "", status, headers, body))
        else:
            job.fail(_message(body) or f"The provider refused the request with {status}.", _code(status))

    async def start(self, status: int, headers: Headers) -> None:
        """Events follow."""
        self.started = True
        self._job.accept()

    async def send(self, chunk: bytes) -> None:
        """Events, or pieces of them."""
        try:
            for event in self._splitter.feed(chunk):
                self._job.event(event)
        except EventTooLarge as error:
            self._job.fail(str(error))

    async def finish(self) -> None:
        """The stream has ended."""
        if self._splitter.rest:
            self._job.event(self._splitter.rest)
        self._job.fail(_CUT)  # unless its last event was there

    async def error(self, error: FareboxError, request_id: str) -> None:
        """It was refused, or has failed."""
        job = self._job
        if job.accepted.is_set() or job.ended.is_set():
            job.fail(error.message, _code(error.status))
        else:
            job.refuse(Refused(error, request_id))


def _with_response(data: bytes, response: bytes) -> bytes:
    return with_values(data, response=msgspec.Raw(response))


def _code(status: int) -> str:
    """As clients know it: they know few."""
    return "rate_limit_exceeded" if status == 429 else "server_error"


class _Error(msgspec.Struct):
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _Error | None = None


def _message(body: bytes) -> str:
    try:
        found = msgspec.json.decode(body, type=_ErrorBody).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return "" if found is None else found.message
