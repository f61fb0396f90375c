"""What a process remembers of sessions: the model and tier they were routed to, and what is in the prompt cache. Pure.

Each gateway remembers its own; a session that comes to another one begins anew there.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from routing.decision import Session

MAX_SESSIONS: Final = 20_000
"""About 10 MB. The ones that were not heard of for the longest time are forgotten."""
IDLE_S: Final = 3_600.0
"""A session that was silent for so long starts again: its tier may fall."""
CACHE_S: Final = 300.0
"""How long a provider keeps a prompt: five minutes, as Anthropic's and OpenAI's caches do unless paid for more."""


class Sessions:
    """Remembers sessions by their ids, up to a bound."""

    __slots__ = ("_kept", "_max")

    def __init__(self, most: int = MAX_SESSIONS) -> None:
        self._max = most
        self._kept: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, session: str, now_s: float) -> Session | None:
        """What is remembered at Unix time `now_s`, without a prompt cache that is gone by then; None: nothing."""
        kept = self._kept.get(session)
        if kept is None:
            return None
        silent_s = now_s - kept.at_s
        if silent_s > IDLE_S:
            return None
        return kept._replace(cached_tokens=0) if silent_s > CACHE_S and kept.cached_tokens else kept

    def note(self, session: str, latest: Session) -> None:
        """Remember how a request of a session went: the model that answered, with its own usage.

        `latest.cached_tokens`: what the provider read from its cache or wrote into it for this request.
        """
        kept = self._kept
        kept[session] = latest
        kept.move_to_end(session)
        while len(kept) > self._max:
            kept.popitem(last=False)
