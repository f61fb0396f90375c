"""The stages that may stop a request for what its agent does, and the notes of what neither of them governs."""

from __future__ import annotations

from typing import NamedTuple

from gateway.admission.admission import Admission
from gateway.admission.intents import Intents
from gateway.admission.watch import Watch


class Governor(NamedTuple):
    """What governs the requests of one gateway."""

    watch: Watch
    admission: Admission
    intents: Intents | None = None
    """None where the store hears of every attempt."""
