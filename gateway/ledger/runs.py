"""The tree of runs: who may open one, which are open, and for how long. Pure; their money is the book's matter."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from gateway.ledger.operations import Cause, Opening, Run, RunRefusal, RunRefused, RunState

TIME_OVER: Final = "its time to live is over"
"""The reason of runs that nobody closed."""


class Node:
    """A run in the tree."""

    __slots__ = ("children", "run", "sub_runs", "until_s")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.children = 0
        """Direct sub-runs that were ever opened."""
        self.sub_runs: list[Node] = []
        """Those that are not forgotten."""
        self.until_s = run.ends_at_s if run.state == "open" else -inf
        """Attempts are admitted before this time: the one number that admission looks at."""

    def change(self, state: RunState, reason: str) -> None:
        """Open, pause or close it."""
        self.run = self.run._replace(state=state, reason=reason)
        self.until_s = self.run.ends_at_s if state == "open" else -inf

    def cause(self, now_s: float) -> Cause | None:
        """Why it admits nothing now; None when it does."""
        run = self.run
        if run.state == "closed" or now_s >= run.closes_at_s:
            return "closed"
        if run.state == "paused":
            return "paused"
        return "time" if now_s >= self.until_s else None


class Runs:
    """All runs that are not forgotten, parents before their sub-runs."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.open = 0
        """So many are not closed: open or paused."""
        self.due_s = inf
        """When the first of the open runs' times to live is over."""

    def refusal(self, opening: Opening, now_s: float) -> RunRefused | None:
        """Why a run may not be opened, or not be found by this opening; None when it may."""
        known = self.nodes.get(opening.id)
        if known is not None:
            return _mismatch(opening, known.run)
        refused = None if opening.parent is None else self._barred(opening, opening.parent, now_s)
        if refused is None and opening.max_open is not None and self.open >= opening.max_open:
            return RunRefused("too_many", "", opening.max_open)
        return refused

    def _barred(self, opening: Opening, above: str, now_s: float) -> RunRefused | None:
        parent = self.nodes.get(above)
        if parent is None:
            return RunRefused("parent_unknown", _scope(above))
        if parent.run.org != opening.org:
            return RunRefused("other_org", _scope(above))
        if parent.cause(now_s) is not None:
            return RunRefused("parent_closed", _scope(above))
        return self._too_many(parent)

    def _too_many(self, parent: Node) -> RunRefused | None:
        depth = parent.run.depth + 1
        for id in parent.run.path:
            ancestor = self.nodes[id].run
            deepest = ancestor.limits.depth
            if deepest is not None and depth - ancestor.depth > deepest:
                return RunRefused("depth", _scope(id), deepest)
        most = parent.run.limits.children
        if most is not None and parent.children >= most:
            return RunRefused("children", _scope(parent.run.id), most)
        return None

    def begin(self, opening: Opening, now_s: float) -> Run:
        """Add a run that nothing refuses. It never outlives its parent."""
        closes_at_s = now_s + opening.ttl_s
        path: tuple[str, ...] = (opening.id,)
        if opening.parent is not None:
            parent = self.nodes[opening.parent].run
            path += parent.path
            closes_at_s = min(closes_at_s, parent.closes_at_s)
        run = Run(opening.id, path, opening.org, opening.agent, opening.limits, now_s, closes_at_s, opening.carve)
        self.add(run)
        return run

    def add(self, run: Run) -> None:
        """Add a run as it is. Its parent must be known."""
        node = Node(run)
        if len(run.path) > 1:
            parent = self.nodes[run.path[1]]
            parent.children += 1
            parent.sub_runs.append(node)
        self.nodes[run.id] = node
        if run.state != "closed":
            self.open += 1
            self.due_s = min(self.due_s, run.closes_at_s)

    def close(self, run: str, reason: str) -> list[Run]:
        """Close a run and its sub-runs; those that this closed, sub-runs before their parents."""
        closed: list[Run] = []
        open_nodes = [self.nodes[run]]
        while open_nodes:
            node = open_nodes.pop()
            open_nodes += node.sub_runs
            if node.run.state != "closed":
                node.change("closed", reason)
                self.open -= 1
                closed.append(node.run)
        return closed[::-1]

    def close_due(self, now_s: float) -> list[Run]:
        """Close the runs whose time to live is over; those that this closed, sub-runs before their parents."""
        if now_s < self.due_s:
            return []
        closed: list[Run] = []
        due_s = inf
        for node in self.nodes.values():
            if node.run.state == "closed":
                continue
            if now_s >= node.run.closes_at_s:
                closed += self.close(node.run.id, TIME_OVER)
            else:
                due_s = min(due_s, node.run.closes_at_s)
        self.due_s = due_s
        return closed

    def forget(self, now_s: float, busy: Callable[[str], bool]) -> list[Run]:
        """Drop the runs whose time to live is over, unless they are `busy` or the parent of one that stays."""
        gone: list[Run] = []
        for node in reversed(list(self.nodes.values())):
            if now_s >= node.run.closes_at_s and not node.sub_runs and not busy(node.run.id):
                self._drop(node)
                gone.append(node.run)
        return gone

    def undo(self, run: str) -> None:
        """Take back the opening of a run that has no sub-runs."""
        node = self.nodes[run]
        self._drop(node)
        if node.run.depth:
            self.nodes[node.run.path[1]].children -= 1

    def _drop(self, node: Node) -> None:
        del self.nodes[node.run.id]
        if node.run.state != "closed":
            self.open -= 1
        if node.run.depth:
            self.nodes[node.run.path[1]].sub_runs.remove(node)


def _mismatch(opening: Opening, known: Run) -> RunRefused | None:
    cause: RunRefusal | None = None
    if known.org != opening.org:
        cause = "other_org"
    elif opening.parent is not None and known.path[1:2] != (opening.parent,):
        cause = "parent_differs"
    return None if cause is None else RunRefused(cause, _scope(opening.id))


def _scope(run: str) -> str:
    return f"run:{run}"
