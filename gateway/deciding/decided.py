"""A request's decision, and what became of it: filled in while it is served, read when it is over."""

from __future__ import annotations

from gateway.telemetry.events import Choice
from routing.decision import Decision, Wanted
from routing.money import Usage
from routing.quality import Signals


class Decided:
    """What a policy decided for one request."""

    __slots__ = (
        "answer",
        "called_tools",
        "choice",
        "decision",
        "downgraded",
        "may_downgrade",
        "run",
        "signals",
        "too_quick",
        "turned_down",
        "usage",
        "wanted",
    )

    def __init__(self, decision: Decision, wanted: Wanted, run: str | None = None) -> None:
        self.decision = decision
        self.wanted = wanted
        self.run = run
        """`agent/run`, if it has one."""
        self.downgraded = ""
        """Why it goes to a weaker model than its rule says: `loop`, `velocity`, `budget`."""
        self.may_downgrade = False
        """Whether a budget covers it that asks for cheaper models before it refuses, and none were tried yet: then it
        does not wait for money."""
        self.usage: Usage | None = None
        """Of the attempt that answered, if one did."""
        self.called_tools = False
        """Whether the answer calls tools."""
        self.answer: bytes | None = None
        """As it came, where it came whole."""
        self.turned_down: list[str] = []
        """Models whose answers failed the rule's checks."""
        self.signals: Signals | None = None
        """The complexity model's, where something asked it."""
        self.too_quick = False
        """Whether its run spends too quickly, and routing is to be told."""
        self.choice: Choice | None = None
        """For the journal, once it is over."""
