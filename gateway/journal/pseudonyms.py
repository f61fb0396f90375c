"""Which names become which, when a person is forgotten. Pure: text in, text out."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from gateway.journal.rows import RUN_SEPARATOR

LEAST: Final = 6
"""An id so long is looked for within other names, too; a shorter one may mean anything there."""


class Pseudonyms:
    """The names of one person, and what stands in their place."""

    def __init__(self, users: Collection[str], pseudonym: str) -> None:
        """`users`: the ways in which the id is written."""
        self.users = frozenset(users)
        self.pseudonym = pseudonym
        self.runs: dict[str, str] = {}
        """`agent/run`, and what it becomes."""
        long = sorted((user for user in self.users if len(user) >= LEAST), key=len, reverse=True)
        words = "|".join(map(re.escape, long))
        self._within = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])") if long else None

    @property
    def words(self) -> tuple[str, ...]:
        """What a text must have in it to be about the person: as it is, and as JSON writes it."""
        return tuple(sorted({written for user in self.users for written in (user, json.dumps(user)[1:-1])}))

    def text(self, text: str) -> str:
        """A text, the id in it replaced: where it is the whole text, or, if it is long enough, a word of it."""
        if text in self.users:
            return self.pseudonym
        return text if self._within is None else self._within.sub(self.pseudonym, text)

    def run(self, run: str) -> str:
        """`agent/run`: of the agent's name nothing is replaced."""
        if run in self.runs:
            return self.runs[run]
        agent, slash, name = run.partition("/")
        return f"{agent}{slash}{self.word(name)}" if slash else run

    def path(self, path: str, kept: Collection[str]) -> str:
        """Runs joined as in `run_path`; those `kept` stay."""
        parts = path.split(RUN_SEPARATOR)
        return RUN_SEPARATOR.join([part if part in kept else self.runs.get(part, part) for part in parts])

    def tags(self, written: str, *, own: bool) -> str:
        """Tags, a JSON object. Of the person's `own` a value that is the id goes however short it is."""
        found: Mapping[str, str] = json.loads(written)
        changed = {self.word(name): self._tag(value, own=own) for name, value in found.items()}
        return written if changed == found else json.dumps(changed, ensure_ascii=False, separators=(",", ":"))

    def _tag(self, value: str, *, own: bool) -> str:
        return self.pseudonym if own and value in self.users else self.word(value)

    def word(self, text: str) -> str:
        """A text that somebody else chose: only an id that is long enough is replaced in it."""
        return text if self._within is None else self._within.sub(self.pseudonym, text)

    def json(self, written: str) -> str:
        """Any JSON, every text in it replaced, paths of runs too."""
        found = json.loads(written)
        changed = self._within_json(found)
        return written if changed == found else json.dumps(changed, ensure_ascii=False, separators=(",", ":"))

    def _within_json(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(RUN_SEPARATOR.join([self.runs.get(part, part) for part in value.split(RUN_SEPARATOR)]))
        if isinstance(value, list):
            return [self._within_json(each) for each in value]
        if isinstance(value, dict):
            return {self.text(name): self._within_json(each) for name, each in value.items()}
        return value
