"""The state of the Responses API: what is kept of answers, what later requests follow up on, and the background.

`store.py` recalls and keeps, `background.py` makes responses that nobody waits for, `conversations.py` is what
`/v1/conversations` does. docs/responses.md tells people.
"""

from gateway.responses.background import Background
from gateway.responses.conversations import Conversations
from gateway.responses.service import Responses
from gateway.responses.store import NOTHING_BEFORE, Keeper, Keeping, Recalled, ResponseStore

__all__ = [
    "NOTHING_BEFORE",
    "Background",
    "Conversations",
    "Keeper",
    "Keeping",
    "Recalled",
    "ResponseStore",
    "Responses",
]
