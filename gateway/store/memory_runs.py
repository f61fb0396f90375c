"""The runs of the memory store: what the book says of them, in the log and the journal too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.journal.writer import Journal
from gateway.ledger.operations import Opening, Run, RunRefused
from gateway.store.live import LiveBook
from gateway.store.log import LogUnwritable
from gateway.store.room import Room
from gateway.store.writing import LogKeeper
from gateway.telemetry.events import RunChanged


class MemoryRuns:
    """Opens, finds and changes the runs of one book."""

    def __init__(
        self, book: LiveBook, keeper: LogKeeper, journal: Journal, clock: Callable[[], float], room: Room
    ) -> None:
        self._book = book
        self._keeper = keeper
        self._journal = journal
        self._now_s = clock
        self._room = room

    async def open(self, opening: Opening) -> Run | RunRefused:
        """Open a run, or find it. Raises StoreUnavailable, OutsideWindow."""
        now_s = self._now_s()
        known = self._book.known_run(opening.id)
        run = self._book.open_run(opening, now_s)
        self.note_ended()
        if known is not None or isinstance(run, RunRefused):
            return run
        keeper = self._keeper
        try:
            keeper.log.run(run, now_s, opening.carve_claims, opening.carve_via)
            if keeper.sync is not None:
                await keeper.sync.wait()
        except LogUnwritable as error:
            self._book.undo_run(run)
            keeper.log.forget_carve(run.id)
            raise keeper.unavailable(error) from error
        except asyncio.CancelledError:  # nobody waits for the answer any more, but the run is there
            self._journal.write((RunChanged(run, now_s),))
            raise
        self._journal.write((RunChanged(run, now_s),))
        return run

    def find(self, run: str) -> Run | None:
        """A run as it stands, or None."""
        found = self._book.run(run, self._now_s())
        self.note_ended()
        return found

    def latest(self, state: str | None, limit: int) -> Sequence[Run]:
        """The latest runs, for people."""
        found = self._book.runs(self._now_s(), state, limit)
        self.note_ended()
        return found

    def close(self, run: str, reason: str) -> Run | None:
        """Close a run and its sub-runs. None: no such run."""
        return self._change(run, lambda now_s: self._book.close_run(run, reason, now_s))

    def pause(self, run: str, reason: str) -> Run | None:
        """Refuse the run's next requests until it is resumed."""
        return self._change(run, lambda now_s: self._book.pause_run(run, reason, now_s))

    def resume(self, run: str) -> Run | None:
        """Let a paused run go on."""
        return self._change(run, lambda now_s: self._book.resume_run(run, now_s))

    def _change(self, run: str, step: Callable[[float], Run | None]) -> Run | None:
        """Change a run. That holds at once; the log and the journal hear of every run that became another one."""
        now_s = self._now_s()
        before = {each.id: each for each in self._book.tree(run)}
        changed = step(now_s)
        self._note([each for each in self._book.tree(run) if before[each.id] != each], now_s)
        self._book.ended[:] = [each for each in self._book.ended if each.id not in before]
        self.note_ended()
        self._room.tell()
        return changed

    def note_ended(self) -> None:
        """Tell of the runs whose time the book found to be over."""
        if self._book.ended:
            ended = self._book.ended.copy()
            self._book.ended.clear()
            self._note(ended, self._now_s())
            self._room.tell()

    def _note(self, changed: Sequence[Run], now_s: float) -> None:
        self._journal.write([RunChanged(run, now_s) for run in changed])
        log = self._keeper.log
        for run in changed:
            if run.state == "closed" and run.carve:
                log.forget_carve(run.id)
            try:
                log.run(run, now_s)
            except LogUnwritable as error:  # the journal has it, or will
                self._keeper.unavailable(error)
