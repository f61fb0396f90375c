"""What a request follows up on, and what is kept of its answer. One per process; no HTTP in here.

An answer is on the disk before its last bytes leave, so that whoever was given its end finds it, at any gateway; while
the database cannot be written that waits no longer than `WRITE_WAIT_S`, and until it can only this gateway knows it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from gateway.config.snapshot import ResponseSettings, Snapshot
from gateway.errors import BadRequest, InvalidField, NotFound, ServiceUnavailable
from gateway.identity.keys import Principal
from gateway.journal.conversations import ConversationLog, ConversationRow
from gateway.journal.database import JournalError
from gateway.journal.engine import AsyncEngine
from gateway.journal.keeping import KeepingWriter, end
from gateway.journal.kept import Append, Keep, ResponseRow
from gateway.journal.making_room import make_room
from gateway.journal.responses import Link, ResponseLog
from gateway.responses.items import array_of, id_of, items_of, new_id
from gateway.responses.objects import Answer, read_response

log = logging.getLogger("farebox.responses")

WRITE_WAIT_S: Final = 1.0
"""So long the end of an answer waits for the disk at most."""
_RENEW_SHARE: Final = 0.1
"""The time of what is followed up on is moved on when so much of it has gone: not with each answer."""
_ROOM_SHARE: Final = 64
"""When this part of the limit on all has been written, it is looked whether it holds."""
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,256}")


class Recalled(NamedTuple):
    """What a request follows up on."""

    items: list[msgspec.Raw]
    """All that was said before, oldest first."""
    input_tokens: int
    """What that counted: the earlier response's whole input and its output."""
    deployment_id: str | None = None
    """Where the earlier response was made; None where it does not matter."""
    native: bool = False
    """That deployment's provider holds it, under the same id."""
    previous_id: str | None = None
    conversation: str | None = None
    position: int = 0
    """How many items the conversation has had."""
    chain: tuple[str, ...] = ()
    """The responses that are followed up on, latest first."""
    ends_at_s: float = float("inf")
    """When the time of the first of them ends."""


NOTHING_BEFORE: Final = Recalled([], 0)


class Keeping(NamedTuple):
    """Whose answer it is, and to what."""

    principal: Principal
    request_id: str
    model: str
    """As its client named it."""
    input: Sequence[msgspec.Raw]
    """The request's own items, with ids."""
    recalled: Recalled = NOTHING_BEFORE
    user: str | None = None
    deployment_id: str = ""
    native: bool = False
    """The deployment's provider holds it under the id that the client is given."""
    store: bool = True
    """False: only the conversation, if it is part of one, goes on."""


class Keeper(Protocol):
    """Who is given finished answers."""

    async def keep(self, keeping: Keeping, response: bytes) -> None:
        """Keep a finished response object. Never raises; returns when other gateways can find it, or after a while."""
        ...


def _unreadable(error: JournalError) -> ServiceUnavailable:
    log.warning("what a request follows up on cannot be read: %s", error)
    return ServiceUnavailable(
        "What was said before cannot be read now, the gateway's journal does not answer; try again.", reason="journal"
    )


class ResponseStore:
    """Keeps responses, and recalls them."""

    def __init__(
        self, engine: AsyncEngine, snapshot: Callable[[], Snapshot], now: Callable[[], float] = time.time
    ) -> None:
        self.responses = ResponseLog(engine)
        self.conversations = ConversationLog(engine)
        self.writer = KeepingWriter(engine)
        self.now = now
        self._snapshot = snapshot
        self._engine = engine
        self._tidying: asyncio.Task[None] | None = None

    @property
    def settings(self) -> ResponseSettings:
        """Those in force."""
        return self._snapshot().responses

    # --- before a request ---

    async def recall(
        self, principal: Principal, previous_response_id: str | None, conversation: str | None = None
    ) -> Recalled:
        """What a request with these fields follows up on. Raises NotFound, BadRequest, ServiceUnavailable."""
        try:
            return await self._recall(principal, previous_response_id, conversation)
        except JournalError as error:
            raise _unreadable(error) from error

    async def answer(self, principal: Principal, name: str) -> bytes | None:
        """A response object of the caller's org; None when it is not kept. Raises ServiceUnavailable."""
        try:
            return (await self.find(principal, name)).body
        except NotFound:
            return None
        except JournalError as error:
            raise _unreadable(error) from error

    async def _recall(
        self, principal: Principal, previous_response_id: str | None, conversation: str | None
    ) -> Recalled:
        if previous_response_id is not None and conversation is not None:
            raise InvalidField(
                "`previous_response_id` and `conversation` cannot be used together.", param="conversation"
            )
        if conversation is not None:
            return await self._conversation(principal, conversation)
        if previous_response_id is not None:
            return await self._chain(principal, previous_response_id)
        return NOTHING_BEFORE

    async def _chain(self, principal: Principal, name: str) -> Recalled:
        field = "previous_response_id"
        self._check(name, field, "response")
        latest, links, contents = await self._links(principal, name)
        if latest is None:
            raise self._unknown(name, field, "response")
        if latest.running:
            raise InvalidField(f"The response `{name}` is still being made: wait until it has ended.", param=field)
        self._check_size(len(links), sum(link.bytes for link in links), field)
        first = links[-1]
        if first.previous_id is not None:
            raise NotFound(
                f"`{name}` cannot be followed up on: an earlier response of its chain, `{first.previous_id}`, is not "
                "kept any more. It was deleted, or its time has ended.",
                param=field,
            )
        items: list[msgspec.Raw] = []
        if first.conversation is not None:
            items += await self._items(principal, first.conversation, first.conversation_items, field)
        for link in reversed(links):
            if link.id not in contents:  # deleted in this very moment
                raise self._unknown(link.id, field, "response")
            said, body = contents[link.id]
            answer = read_response(body)
            items += [*items_of(said), *(() if answer is None else answer.output)]
        return Recalled(
            items,
            latest.input_tokens + latest.output_tokens,
            latest.deployment or None,
            latest.native,
            name,
            None,
            0,
            tuple(link.id for link in links),
            min(link.expires_at_s for link in links),
        )

    async def _links(
        self, principal: Principal, name: str
    ) -> tuple[ResponseRow | None, list[Link], dict[str, tuple[bytes, bytes]]]:
        """The response, the chain up to it (latest first), and what they say. Some may be on their way to the disk."""
        rows: list[ResponseRow] = []
        most, wanted = self.settings.max_chain, name
        waiting = self.writer.row(name)
        if waiting is not None and waiting.org != principal.org:
            return None, [], {}
        while len(rows) <= most and (row := self.writer.row(wanted)) is not None and row.org == principal.org:
            rows.append(row)
            if row.previous_id is None:
                break
            wanted = row.previous_id
        links = [_link(row) for row in rows]
        contents = {row.id: (row.input, row.body) for row in rows}
        if not rows or (links[-1].previous_id is not None and len(rows) <= most):
            left = most - len(rows), self._snapshot().server.max_body_bytes - sum(link.bytes for link in links)
            chain = await self.responses.chain(principal.org, wanted, self.now(), left)
            if chain.latest is not None:
                rows.append(chain.latest)
                links += [_link(chain.latest), *chain.links]
                contents |= {chain.latest.id: (chain.latest.input, chain.latest.body), **chain.contents}
        return (rows[0] if rows else None), links, contents

    async def _conversation(self, principal: Principal, name: str) -> Recalled:
        row = await self.conversation(principal, name, "conversation")
        items = await self._items(principal, name, row.items, "conversation")
        return Recalled(items, row.tokens, conversation=name, position=row.items)

    async def conversation(self, principal: Principal, name: str, field: str | None = None) -> ConversationRow:
        """A conversation of the caller's org. Raises NotFound, JournalError."""
        self._check(name, field, "conversation")
        await self.writer.settle(name, WRITE_WAIT_S)
        row = await self.conversations.get(principal.org, name, self.now())
        if row is None:
            raise self._unknown(name, field, "conversation")
        return row

    async def _items(self, principal: Principal, name: str, before: int, field: str) -> list[msgspec.Raw]:
        row = await self.conversation(principal, name, field)
        self._check_size(0, row.bytes, field)
        return [msgspec.Raw(item) for _, item in await self.conversations.all_items(name, before)]

    def _check_size(self, links: int, size: int, field: str) -> None:
        most, most_bytes = self.settings.max_chain, self._snapshot().server.max_body_bytes
        if links > most:
            raise BadRequest(
                f"`{field}`: more than {most} responses follow one another here, the most that are recalled "
                "(responses.max_chain). Begin a new chain with what is still needed.",
                param=field,
            )
        if size > most_bytes:
            raise BadRequest(
                f"`{field}`: what was said before takes {size} bytes, more than the {most_bytes} that a request may "
                "have (server.max_body_bytes). Begin anew with what is still needed.",
                param=field,
            )

    def _check(self, name: str, field: str | None, kind: str) -> None:
        """What no id can be is asked nobody for."""
        if not self.settings.enabled:
            raise NotFound(
                f"This gateway keeps no {kind}s (`responses: {{enabled: off}}`): send what was said before in `input`.",
                param=field,
            )
        if _ID.fullmatch(name) is None:
            raise self._unknown(name, field, kind)

    def _unknown(self, name: str, field: str | None, kind: str) -> NotFound:
        return NotFound(
            f"No {kind} `{name[:256]}` of this organisation is kept here: it never was, was deleted, or its time has "
            "ended.",
            param=field,
        )

    # --- what is kept ---

    async def find(self, principal: Principal, name: str, field: str | None = None) -> ResponseRow:
        """A response of the caller's org. Raises NotFound, JournalError."""
        self._check(name, field, "response")
        row = self.writer.row(name)
        if row is None:
            row = await self.responses.get(principal.org, name, self.now())
        if row is None or row.org != principal.org:
            raise self._unknown(name, field, "response")
        return row

    async def delete(self, principal: Principal, name: str) -> None:
        """Forget a response. Raises NotFound, JournalError."""
        self._check(name, None, "response")
        await self.writer.settle(name, WRITE_WAIT_S)
        if not await self.responses.delete(principal.org, name):
            raise self._unknown(name, None, "response")

    async def keep(self, keeping: Keeping, response: bytes) -> None:
        """Keep a finished response object. Never raises; returns when other gateways can find it, or after a while."""
        answer = read_response(response)
        if answer is None or not self.settings.enabled:
            return
        row = self.row_of(keeping, answer, response) if keeping.store and _ID.fullmatch(answer.id) else None
        await self.write(
            Keep(self.fitting(row), append=self.append_of(keeping, answer), renewed=self.renewed(keeping.recalled))
        )

    def row_of(self, keeping: Keeping, answer: Answer, response: bytes) -> ResponseRow:
        """What is kept of an answer."""
        principal, now_s, recalled = keeping.principal, self.now(), keeping.recalled
        said = array_of(keeping.input)
        input_tokens, output_tokens = _counted(keeping, answer, len(said))
        return ResponseRow(
            answer.id,
            principal.org,
            principal.team,
            principal.agent,
            principal.key_id,
            keeping.user,
            keeping.request_id,
            now_s,
            now_s + self.settings.ttl_s,
            answer.status,
            False,
            keeping.native,
            keeping.model,
            keeping.deployment_id,
            recalled.previous_id,
            recalled.conversation,
            recalled.position,
            input_tokens,
            output_tokens,
            None,
            0.0,
            said,
            response,
        )

    def fitting(self, row: ResponseRow | None) -> ResponseRow | None:
        """The row, unless it is too large to be kept."""
        if row is None or row.bytes <= self.settings.max_response_bytes:
            return row
        log.warning(
            "the response %s takes %d bytes, more than `responses.max_response_bytes`, and is not kept",
            row.id,
            row.bytes,
            extra={"request_id": row.request_id},
        )
        return None

    def append_of(self, keeping: Keeping, answer: Answer) -> Append | None:
        """What an answer adds to its conversation."""
        name = keeping.recalled.conversation
        if name is None or answer.status not in {"completed", "incomplete"}:
            return None
        items = tuple((id_of(item) or new_id("item"), bytes(item)) for item in (*keeping.input, *answer.output))
        tokens = sum(_counted(keeping, answer, sum(len(item) for item in keeping.input)))
        ends_at_s = self.now() + self.settings.ttl_s
        return Append(name, keeping.principal.org, keeping.user, items, tokens, 0, ends_at_s)

    def renewed(self, recalled: Recalled) -> tuple[str, ...]:
        """What is followed up on and has to be kept for longer."""
        late = recalled.ends_at_s < self.now() + self.settings.ttl_s * (1 - _RENEW_SHARE)
        return recalled.chain if late else ()

    async def write(self, keep: Keep) -> None:
        """Write something, and wait for it to be on the disk, but not long."""
        if keep.row is None and keep.append is None:
            return
        written = self.writer.put(keep)
        if written is not None:
            await asyncio.wait((written,), timeout=WRITE_WAIT_S)
        if self.writer.written_bytes > self.settings.max_bytes // _ROOM_SHARE and self._tidying is None:
            self.writer.written_bytes = 0
            self._tidying = asyncio.create_task(self._tidy(), name="responses-tidy")

    async def _tidy(self) -> None:
        try:
            await make_room(self._engine, self.settings, self.now())
        except JournalError as error:
            log.warning("old responses could not be deleted, they are tried again: %s", error)
        finally:
            self._tidying = None

    async def close(self) -> None:
        """Write what waits. Idempotent."""
        if self._tidying is not None:
            await end(self._tidying)
        await self.writer.close()


def _counted(keeping: Keeping, answer: Answer, input_bytes: int) -> tuple[int, int]:
    """Tokens of the whole input and of the answer; where no usage was reported, as many as bytes: no text has more."""
    if answer.input_tokens is not None:
        return answer.input_tokens, answer.output_tokens
    return keeping.recalled.input_tokens + input_bytes, sum(len(item) for item in answer.output)


def _link(row: ResponseRow) -> Link:
    return Link(row.id, row.previous_id, row.bytes, row.expires_at_s, row.conversation, row.conversation_items)
