"""A whole LiteLLM configuration into ours, with notes on the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from gateway.config.document import parse
from gateway.config.litellm.balancing import strategy_of
from gateway.config.litellm.limits import written_limits
from gateway.config.litellm.models import Models
from gateway.config.litellm.notes import Notes, Secrets
from gateway.config.litellm.providers import Providers
from gateway.config.problems import ConfigError, Problem
from gateway.pricing.table import PriceTable

_HEAD = """\
# Translated from a LiteLLM proxy's configuration by `farebox import litellm`. See docs/configuration.md.
# `farebox check` tells what is still missing; `farebox keys create --agent dev` makes a key for a client.

"""


class Translation(NamedTuple):
    """The result."""

    text: str
    """Our configuration, YAML."""
    notes: list[str]
    """One line for each thing to know: `path: what became of it`."""


def translate_file(file: Path, table: PriceTable | None = None) -> Translation:
    """Translate a file. Raises ConfigError when it is no YAML mapping."""
    try:
        document = parse(file.read_bytes().decode("utf-8-sig"), file)
    except OSError as error:
        raise ConfigError([Problem(file, 1, 1, "", f"cannot be read: {error.strerror or 'unreadable'}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(file, 1, 1, "", f"is not UTF-8 text (byte {error.start})")]) from None
    if document.problems:
        raise ConfigError(document.problems)
    if not isinstance(document.data, dict):
        raise ConfigError([Problem(file, 1, 1, "", "is not a LiteLLM configuration: no mapping")])
    return translate(document.data, table or PriceTable.load())


def translate(source: dict[str, Any], table: PriceTable) -> Translation:
    """Translate a configuration as YAML reads it."""
    notes = Notes()
    secrets = Secrets(notes)
    providers = Providers(notes, secrets)
    models = Models(providers, notes, table)
    router, general, settings = (_section(source, name, notes) for name in _SECTIONS)
    model_list = source.get("model_list")
    for index, entry in enumerate(model_list if isinstance(model_list, list) else ()):
        models.add(("model_list", index), entry)
    aliases = router.get("model_group_alias")
    for alias, target in aliases.items() if isinstance(aliases, dict) else ():
        models.alias(("router_settings", "model_group_alias", alias), alias, target)
    for name, section in (("router_settings", router), ("litellm_settings", settings)):
        _fallbacks(models, name, section)
    result: dict[str, Any] = {}
    master = general.get("master_key")
    key = secrets.reference(("general_settings", "master_key"), master, "FAREBOX_ADMIN_KEY")
    if key is not None:
        result["admin"] = {"key": key}
        notes.add(("general_settings", "master_key"), "became the admin API's key; clients need keys of their own")
    _timeouts(providers, settings.get("request_timeout"))
    result["providers"] = providers.written
    result["models"] = models.written(strategy_of(router, notes))
    result["agents"] = {"dev": {}}
    result |= written_limits(general, settings, notes)
    _note_the_rest(source, notes, router, general, settings)
    return Translation(_HEAD + yaml.dump(result, Dumper=_Dumper, sort_keys=False, width=120), notes.lines)


_SETTINGS = frozenset({"fallbacks", "request_timeout", "max_budget", "budget_duration"})
_SECTIONS = ("router_settings", "general_settings", "litellm_settings")


class _Dumper(yaml.SafeDumper):
    """Writes a shared deployment out each time, instead of as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _section(source: dict[str, Any], name: str, notes: Notes) -> dict[str, Any]:
    section = source.get(name)
    if section is not None and not isinstance(section, dict):
        notes.add((name,), "not a mapping; left out")
    return section if isinstance(section, dict) else {}


def _fallbacks(models: Models, name: str, section: dict[str, Any]) -> None:
    fallbacks = section.get("fallbacks")
    for index, entry in enumerate(fallbacks if isinstance(fallbacks, list) else ()):
        for model, others in entry.items() if isinstance(entry, dict) else ():
            models.fallback((name, "fallbacks", index, model), model, others)


def _timeouts(providers: Providers, seconds: Any) -> None:
    """LiteLLM's time-out for all requests, for providers without one."""
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds <= 86_400:
        for entry in providers.written.values():
            entry.setdefault("timeouts", {"total_s": seconds, "first_byte_s": seconds})


def _note_the_rest(
    source: dict[str, Any], notes: Notes, router: dict[str, Any], general: dict[str, Any], settings: dict[str, Any]
) -> None:
    notes.unknown((), source, frozenset({"model_list", "environment_variables", *_SECTIONS}))
    notes.unknown(("router_settings",), router, frozenset({"model_group_alias", "fallbacks", "routing_strategy"}))
    notes.unknown(("general_settings",), general, frozenset({"master_key", "global_max_parallel_requests"}))
    notes.unknown(("litellm_settings",), settings, _SETTINGS)
    variables = source.get("environment_variables")
    for name in variables if isinstance(variables, dict) else ():
        notes.add(("environment_variables", name), "not copied: put it into the environment, or into `.env`")
