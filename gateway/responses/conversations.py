"""`/v1/conversations`, without any HTTP: conversations are the gateway's own, on whichever models they go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.errors import InvalidField, NotFound
from gateway.identity.keys import Principal
from gateway.journal.conversations import ConversationRow
from gateway.journal.kept import Append
from gateway.responses.items import MAX_PAGE, Slice, id_of, listed, new_id
from gateway.responses.store import ResponseStore

MAX_NEW_ITEMS: Final = 20
"""Items that one request may add, as at OpenAI."""

Raw = msgspec.Raw


class Conversations:
    """Every method raises NotFound for what is not the caller's org's, and JournalError."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    async def create(
        self, principal: Principal, user: str | None, metadata: Mapping[str, str], items: Sequence[msgspec.Raw]
    ) -> dict[str, Any]:
        """Make one, with its first items. Raises InvalidField."""
        store = self._store
        if not store.settings.enabled:
            raise NotFound("This gateway keeps no conversations (`responses: {enabled: off}`).")
        found = _items(items)
        now_s = store.now()
        row = ConversationRow(
            new_id("conv"),
            principal.org,
            principal.team,
            principal.agent,
            principal.key_id,
            user,
            now_s,
            now_s + store.settings.ttl_s,
            0,
            0,
            0,
            msgspec.json.encode(metadata).decode(),
        )
        await store.conversations.create(row)
        if found:
            await self._append(principal, row.id, user, found)
        return conversation_object(row)

    async def show(self, principal: Principal, name: str) -> dict[str, Any]:
        """One, without its items."""
        return conversation_object(await self._store.conversation(principal, name))

    async def update(self, principal: Principal, name: str, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Replace its metadata."""
        store = self._store
        await store.conversation(principal, name)
        text = msgspec.json.encode(metadata).decode()
        row = await store.conversations.set_metadata(principal.org, name, text, store.now())
        if row is None:
            raise _gone(name)
        return conversation_object(row)

    async def delete(self, principal: Principal, name: str) -> None:
        """Delete it with its items."""
        await self._store.conversation(principal, name)
        if not await self._store.conversations.delete(principal.org, name):
            raise _gone(name)

    # --- its items ---

    async def add(
        self, principal: Principal, name: str, user: str | None, items: Sequence[msgspec.Raw]
    ) -> list[msgspec.Raw]:
        """Put items at its end; as they are from now on. Raises InvalidField."""
        await self._store.conversation(principal, name)
        found = _items(items)
        await self._append(principal, name, user, found)
        return found

    async def _append(self, principal: Principal, name: str, user: str | None, items: Sequence[msgspec.Raw]) -> None:
        """What was added by hand counts as many tokens as it has bytes, until an answer says it better."""
        store = self._store
        named = tuple((id_of(item), bytes(item)) for item in items)
        size = sum(len(item) for _, item in named)
        ends_at_s = store.now() + store.settings.ttl_s
        if not await store.conversations.append(Append(name, principal.org, user, named, None, size, ends_at_s)):
            raise _gone(name)

    async def items(self, principal: Principal, name: str, wanted: Slice) -> tuple[list[msgspec.Raw], bool]:
        """A page of them, and whether there are more. Raises InvalidField."""
        await self._store.conversation(principal, name)
        limit = min(MAX_PAGE, wanted.limit)
        page = await self._store.conversations.page(name, limit=limit, ascending=wanted.ascending, after=wanted.after)
        if page is None:
            raise InvalidField("`after` is the id of no item of this conversation.", param="after")
        return [Raw(item) for item in page.items], page.more

    async def item(self, principal: Principal, name: str, item_id: str) -> msgspec.Raw:
        """One of them."""
        await self._store.conversation(principal, name)
        found = await self._store.conversations.item(name, item_id)
        if found is None:
            raise _no_item(name, item_id)
        return Raw(found)

    async def delete_item(self, principal: Principal, name: str, item_id: str) -> dict[str, Any]:
        """Delete one of them; the conversation."""
        row = await self._store.conversation(principal, name)
        if not await self._store.conversations.delete_item(principal.org, name, item_id):
            raise _no_item(name, item_id)
        return conversation_object(row)


def _items(items: Sequence[msgspec.Raw]) -> list[msgspec.Raw]:
    if len(items) > MAX_NEW_ITEMS:
        raise InvalidField(f"`items` may have {MAX_NEW_ITEMS} items at most.", param="items")
    return [listed(item, f"items[{number}]") for number, item in enumerate(items)]


def _gone(name: str) -> NotFound:
    return NotFound(f"The conversation `{name}` was deleted in this very moment.")


def _no_item(name: str, item_id: str) -> NotFound:
    return NotFound(f"The conversation `{name}` has no item `{item_id[:256]}`.")


def conversation_object(row: ConversationRow) -> dict[str, Any]:
    """A conversation as clients get it."""
    return {
        "id": row.id,
        "object": "conversation",
        "created_at": int(row.created_at_s),
        "metadata": Raw(row.metadata.encode()),
    }
