"""The two stages of the pipeline that may stop a request for what its agent does: `guard` and `admit`."""

from __future__ import annotations

from typing import NamedTuple

from gateway.admission.admission import Admission
from gateway.admission.watch import Watch


class Governor(NamedTuple):
    """What governs the requests of one gateway."""

    watch: Watch
    admission: Admission
