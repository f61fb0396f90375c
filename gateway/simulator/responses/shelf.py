"""Finished responses, kept in memory for those who ask for them or build on them; the oldest go first."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from gateway.simulator.errors import SimError, invalid
from gateway.simulator.fields import Body

_CAPACITY = 4_096


class Stored(NamedTuple):
    """A response that is kept."""

    owner: str
    """The fingerprint of its caller's key."""
    response: Body
    input_items: list[Body]
    """What its request brought, with ids, without what came before."""
    history: list[Body]
    """All that a response after it builds on: what came before, its input and its output."""


class Shelf:
    """Responses by id, and their items."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._stored: OrderedDict[str, Stored] = OrderedDict()
        self._items: dict[str, Body] = {}

    def put(self, stored: Stored) -> None:
        """Keep a response."""
        self._stored[stored.response["id"]] = stored
        self._items |= {item["id"]: item for item in _own_items(stored)}
        while len(self._stored) > self._capacity:
            self._forget(self._stored.popitem(last=False)[1])

    def get(self, owner: str, response_id: str) -> Stored:
        """A response of the same key. Raises SimError (404)."""
        stored = self._stored.get(response_id)
        if stored is None or stored.owner != owner:
            raise SimError(404, f"Response with id '{response_id}' not found.")
        return stored

    def delete(self, owner: str, response_id: str) -> None:
        """Forget a response of the same key. Raises SimError (404)."""
        self._forget(self.get(owner, response_id))
        del self._stored[response_id]

    def history(self, owner: str, response_id: str) -> list[Body]:
        """What a response builds on whose request names this one as the previous. Raises SimError (400)."""
        stored = self._stored.get(response_id)
        if stored is None or stored.owner != owner:
            message = f"Previous response with id '{response_id}' not found."
            raise invalid(message, "previous_response_id", "previous_response_not_found")
        return stored.history

    def item(self, item_id: str) -> Body | None:
        """An item of a kept response."""
        return self._items.get(item_id)

    def _forget(self, stored: Stored) -> None:
        for item in _own_items(stored):
            self._items.pop(item["id"], None)


def _own_items(stored: Stored) -> list[Body]:
    return [*stored.input_items, *stored.response["output"]]
