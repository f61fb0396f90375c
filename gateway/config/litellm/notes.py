"""What a translation could not carry over, and the variables that stand for its secrets."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from gateway.config.problems import YamlPath, dotted

_ENVIRON = "os.environ/"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Notes:
    """Collects lines for people: `path: what became of it`. Never with a value."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, path: YamlPath, message: str) -> None:
        """Note what became of a setting."""
        self.lines.append(f"{dotted(path)}: {message}")

    def unknown(self, path: YamlPath, settings: dict[str, Any], known: frozenset[str]) -> None:
        """Note all settings of a mapping but the known ones."""
        for name in settings:
            if name not in known:
                self.add((*path, name), REASONS.get(name, "has no counterpart"))


_BUDGET = "not translated: write it under `budgets`"
_RATE = "not translated: write it under `limits`"
_KEYS = "keys have no limits of their own: write them under `budgets` and `limits`, by agent"
_RETRY = "not translated: write it under `retries` and `breaker`"
REASONS = {
    **dict.fromkeys(
        ("max_budget", "budget_duration", "soft_budget", "max_user_budget", "provider_budget_config"), _BUDGET
    ),
    **dict.fromkeys(("max_internal_user_budget", "internal_user_budget_duration", "max_end_user_budget"), _BUDGET),
    "default_key_generate_params": _KEYS,
    "upperbound_key_generate_params": _KEYS,
    "default_team_settings": "not translated: a team's budget goes under `budgets`, with `scope: team:<name>`",
    **dict.fromkeys(("rpm", "tpm", "max_parallel_requests"), _RATE),
    **dict.fromkeys(
        ("num_retries", "allowed_fails", "cooldown_time", "retry_policy", "retry_after", "max_retries"), _RETRY
    ),
    "database_url": "the journal is in `storage.dir`; no database is needed",
    "success_callback": "see `/metrics` and the journal instead",
    "failure_callback": "see `/metrics` and the journal instead",
    "callbacks": "see `/metrics` and the journal instead",
    "drop_params": "parameters are passed on untouched",
}


class Secrets:
    """References for keys: LiteLLM's `os.environ/NAME` as `${NAME}`, and a new variable for a key in clear."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._variables: dict[str, str] = {}
        """By the variable's name, a digest of the key that it stands for."""

    def reference(self, path: YamlPath, value: Any, name: str) -> str | None:
        """A `${NAME}` for a secret as LiteLLM has it; None without one. `name` is what a new variable is called."""
        if not isinstance(value, str) or not value:
            return None
        if value.startswith(_ENVIRON):
            variable = value.removeprefix(_ENVIRON)
            if _NAME.fullmatch(variable):
                self._variables.setdefault(variable, "")
                return f"${{{variable}}}"
            self._notes.add(path, "not a variable's name; write a reference by hand")
            return None
        digest = hashlib.sha256(value.encode()).hexdigest()
        variable = name
        number = 1
        while self._variables.setdefault(variable, digest) != digest:
            number += 1
            variable = f"{name}_{number}"
        self._notes.add(path, f"the key in clear was not copied: put it into the variable {variable}")
        return f"${{{variable}}}"


def text_with_references(value: str) -> str:
    """A plain text as ours: `os.environ/NAME` refers, `${` does not."""
    if value.startswith(_ENVIRON) and _NAME.fullmatch(value.removeprefix(_ENVIRON)):
        return f"${{{value.removeprefix(_ENVIRON)}}}"
    return value.replace("${", "$${")
