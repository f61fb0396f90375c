"""Responses with `background: true`: each is a task of its own, which outlives its client's connection.

Who runs one says every `BEAT_S` that it lives, in the response's row; `LEASE_S` without a word and whoever looks next
finds that it has failed. The same beat hears of those that were cancelled or deleted at another gateway.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

from gateway.errors import BodyTooLarge, FareboxError, InvalidField, LimitReached
from gateway.identity.keys import Principal
from gateway.journal.database import JournalError
from gateway.journal.keeping import end
from gateway.journal.kept import Keep, ResponseRow
from gateway.reply import ClientGone, Reply
from gateway.responses.items import array_of, new_id, text_of
from gateway.responses.job import Job, JobReply
from gateway.responses.objects import failed, final_event, read_response, with_values
from gateway.responses.store import WRITE_WAIT_S, Keeper, Keeping, ResponseStore
from gateway.wire.native import Native

log = logging.getLogger("farebox.responses")

BEAT_S: Final = 2.0
LEASE_S: Final = 20.0
REPLAY_S: Final = 30.0
"""So long the events of one that has ended can be read again."""
POLL_S: Final = 1.0
"""How often it is looked how one stands that another gateway runs."""
_EVENTS_TIMES: Final = 2
"""Its events may take this many times what a response may."""
_LOST: Final = "The gateway that made this response ended before it was done; ask again."
_DRAINED: Final = "The gateway was stopped before this response was done; ask again."

Serve = Callable[[Reply, Keeper], Awaitable[None]]
"""Serves the request to its end, as if it had not asked for the background."""


class Asked(NamedTuple):
    """A request that is to be answered in the background."""

    principal: Principal
    user: str | None
    native: Native
    """As the client wrote it."""
    request_id: Callable[[], str] = str
    """The request's id, once it is being served."""


class _JobKeeper:
    """Keeps the answer of a job under the job's name."""

    def __init__(self, store: ResponseStore, job: Job) -> None:
        self._store = store
        self._job = job

    async def keep(self, keeping: Keeping, response: bytes) -> None:
        """Keep a finished response object. Never raises."""
        job, store, answer = self._job, self._store, read_response(response)
        if answer is None or job.ended.is_set():
            return
        body = job.own(response)
        made = store.row_of(keeping, answer, body)
        row = job.row._replace(
            status=made.status,
            deployment=made.deployment,
            request_id=made.request_id,
            conversation=made.conversation,
            conversation_items=made.conversation_items,
            input_tokens=made.input_tokens,
            output_tokens=made.output_tokens,
            input=made.input,
            body=body,
        )
        append = store.append_of(keeping, answer)
        if store.fitting(row) is None:
            body, append = failed(job.body, "The answer is too large to be kept."), None
            row = row._replace(status="failed", body=body, conversation=None)
        job.kept = True
        await store.write(Keep(row, ended=True, append=append, renewed=store.renewed(keeping.recalled)))


class Background:
    """The responses that this gateway makes in the background."""

    def __init__(self, store: ResponseStore, *, alone: bool) -> None:
        """`alone`: no other gateway uses the same journal, so that what others run is what was lost."""
        self._store = store
        self._alone = alone
        self._owner = secrets.token_hex(8)
        self._jobs: dict[str, Job] = {}
        """Those that run, and for a while those that have ended."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._beating: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    @property
    def running(self) -> int:
        """How many are being made."""
        return len(self._tasks)

    # --- asking for one ---

    async def begin(self, asked: Asked, serve: Serve, leaves: Callable[[Callable[[], None] | None], None]) -> Job:
        """Begin to make one; returns when it was accepted, and can be found by its name, or refused.

        `leaves` is told what to call when the client leaves before that. Raises FareboxError, ClientGone.
        """
        settings = self._store.settings
        if not settings.enabled:
            raise InvalidField(
                "`background` needs responses to be kept, which this gateway does not do (`responses: {enabled: "
                "off}`).",
                param="background",
            )
        if bytes(asked.native.fields.get("store", b"")) == b"false":
            raise InvalidField("`background` needs `store`: its client comes back for the response.", param="store")
        if self.running >= settings.max_background:
            raise LimitReached(
                f"This gateway makes {self.running} responses in the background, as many as it may; try again, or "
                "without `background`.",
                reason="background",
            )
        row = self._row(asked)
        if row.bytes > settings.max_response_bytes:
            raise BodyTooLarge(
                f"The request takes more than the {settings.max_response_bytes} bytes that are kept of a response "
                "(responses.max_response_bytes): ask without `background`."
            )

        def accepted() -> None:
            job.row = job.row._replace(request_id=asked.request_id())
            self._store.writer.put(Keep(job.row))

        job = Job(row, _EVENTS_TIMES * settings.max_response_bytes, accepted)
        name = row.id
        self._jobs[name] = job
        task = self._tasks[name] = asyncio.create_task(self._run(job, serve), name=name)
        leaves(job.leave)
        try:
            await _first(job.accepted, job.ended)
        finally:
            leaves(None)
        if job.refused is not None:
            await asyncio.wait((task,))
            return job
        if not job.accepted.is_set():
            raise ClientGone if job.left else FareboxError("An error inside the gateway; its log tells more.")
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat(), name="responses-beat")
        await self._store.writer.settle(name, WRITE_WAIT_S)
        return job

    def _row(self, asked: Asked) -> ResponseRow:
        from gateway.wire.responses import input_items, pending  # a tongue is loaded when it is first spoken

        store, principal, native = self._store, asked.principal, asked.native
        now_s = store.now()
        name = new_id("resp")
        return ResponseRow(
            name,
            principal.org,
            principal.team,
            principal.agent,
            principal.key_id,
            asked.user,
            "",
            now_s,
            now_s + store.settings.ttl_s,
            "queued",
            True,
            False,
            native.model,
            "",
            text_of(native.fields.get("previous_response_id")) or None,
            None,  # it becomes part of its conversation when it has ended well
            0,
            0,
            0,
            self._owner,
            now_s + LEASE_S,
            array_of(input_items(native, name)),
            pending(native, name, model=native.model, created_s=int(now_s), status="queued"),
        )

    async def _run(self, job: Job, serve: Serve) -> None:
        try:
            await serve(JobReply(job), _JobKeeper(self._store, job))
            if job.refused is None:
                job.fail("The request ended without an answer.")  # unless it has ended otherwise
        except asyncio.CancelledError:
            job.fail(_DRAINED)
        except Exception:
            log.exception("unforeseen error", extra={"response_id": job.row.id})
            job.fail("An error inside the gateway; its log tells more.")
        finally:
            await self._over(job)

    async def _over(self, job: Job) -> None:
        name = job.row.id
        if job.accepted.is_set() and not job.kept and not job.abandoned:
            answer = read_response(job.body)
            spent = (0, 0) if answer is None else (answer.input_tokens or 0, answer.output_tokens)
            ended = job.row._replace(status=job.status, body=job.body, input_tokens=spent[0], output_tokens=spent[1])
            await self._store.write(Keep(ended, ended=True))
        self._tasks.pop(name, None)
        if job.abandoned or not job.accepted.is_set() or len(job.events) < 2:  # nothing to be read again
            self._jobs.pop(name, None)
        else:
            asyncio.get_running_loop().call_later(REPLAY_S, self._jobs.pop, name, None)

    # --- looking at one ---

    async def find(self, principal: Principal, name: str) -> ResponseRow:
        """A response as it stands, whoever makes it. Raises NotFound, JournalError."""
        job = self._job(principal, name)
        if job is not None and not job.ended.is_set():
            return job.row._replace(status=job.status, body=job.body)
        row = await self._store.find(principal, name)
        if not row.running:
            return row
        if job is not None:  # it has just ended, and is on its way to the disk
            return row._replace(status=job.status, body=job.body)
        if self._lost(row):
            return await self._given_up(principal, row)
        return row._replace(body=with_values(row.body, status=row.status))

    def _job(self, principal: Principal, name: str) -> Job | None:
        job = self._jobs.get(name)
        return None if job is None or job.row.org != principal.org or not job.accepted.is_set() else job

    def _lost(self, row: ResponseRow) -> bool:
        if row.owner == self._owner or self._alone:
            return row.id not in self._tasks
        return row.alive_until_s < self._store.now()

    async def _given_up(self, principal: Principal, row: ResponseRow) -> ResponseRow:
        body = failed(row.body, _LOST)
        if await self._store.responses.end(row, "failed", body):
            return row._replace(status="failed", body=body, owner=None)
        return await self._store.find(principal, row.id)

    async def cancel(self, principal: Principal, name: str) -> ResponseRow:
        """End one that is being made; one that has ended stays as it is.

        Raises NotFound, InvalidField (it is none of the background), JournalError.
        """
        row = await self.find(principal, name)
        if not row.background:
            raise InvalidField(
                f"The response `{name}` was not made with `background: true`: only such can be cancelled. Another is "
                "cancelled by closing its connection."
            )
        if not row.running:
            return row
        job = self._job(principal, name)
        if job is not None:
            job.cancel()
            task = self._tasks.get(name)
            if task is not None:
                await asyncio.wait((task,))
            return row._replace(status=job.status, body=job.body)
        body = with_values(row.body, status="cancelled")
        if await self._store.responses.end(row, "cancelled", body):
            return row._replace(status="cancelled", body=body, owner=None)
        return await self._store.find(principal, name)

    async def delete(self, principal: Principal, name: str) -> None:
        """Forget a response, and stop making it. Raises NotFound, JournalError."""
        job = self._job(principal, name)
        await self._store.delete(principal, name)
        if job is not None:
            self._abandon(job)

    def _abandon(self, job: Job) -> None:
        job.abandoned = True
        self._jobs.pop(job.row.id, None)
        job.cancel()

    async def events(self, principal: Principal, name: str, after: int) -> AsyncIterator[bytes]:
        """The events with numbers above `after`, to its end. Raises NotFound, JournalError.

        Where they are not here, because another gateway makes it or it ended a while ago, only the last one comes.
        """
        job = self._job(principal, name)
        if job is None:
            row = await self.find(principal, name)
            while row.running:
                await asyncio.sleep(POLL_S)
                row = await self.find(principal, name)
            yield final_event(row.body, row.status, max(0, after + 1))
            return
        async for event in follow(job, after):
            yield event

    # --- living on ---

    async def _beat(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._closing.wait()
            written = [name for name in self._tasks if self._is_written(name)]
            if not written:
                continue
            now_s = self._store.now()
            try:
                there = await self._store.responses.beat(self._owner, written, now_s + LEASE_S)
            except JournalError as error:
                log.warning("responses in the background cannot be looked after: %s", error)
                continue
            for name in written:
                job = self._jobs.get(name)
                if job is not None and name not in there and not job.kept and not job.ended.is_set():
                    self._abandon(job)  # cancelled, deleted or given up elsewhere

    def _is_written(self, name: str) -> bool:
        """Whether others can find it: then it is there, unless somebody has ended or deleted it."""
        job = self._jobs.get(name)
        return job is not None and job.accepted.is_set() and self._store.writer.row(name) is None

    async def close(self, timeout_s: float, hurry: asyncio.Event | None = None) -> None:
        """Let those that run come to their end for so long, or until `hurry`; then they have failed. Idempotent."""
        running = list(self._tasks.values())
        if running:
            done = asyncio.create_task(_all(running))
            hurried = asyncio.create_task((hurry or asyncio.Event()).wait())
            await asyncio.wait((done, hurried), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            for task in running:
                task.cancel()
            await done
        self._closing.set()
        if self._beating is not None:
            await end(self._beating)


async def follow(job: Job, after: int) -> AsyncIterator[bytes]:
    """A job's events with numbers above `after`, as they come, to its end."""
    place = 0
    while found := await job.after(place):
        place += len(found)
        for number, event in found:
            if number > after:
                yield event


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


async def _first(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
