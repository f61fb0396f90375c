"""What a configuration's policies are checked against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.config.snapshot import WildcardResolver
from routing.catalog import Catalog, Model

DEFAULT = "default"
"""What routes, metrics and the journal call what is done when no rule matches."""


class Names(NamedTuple):
    """What a policy may refer to: everything written, whether it is left out for want of a variable or not."""

    models: Mapping[str, str]
    """A model's own name by every name that it has; patterns such as `openai/*` too."""
    agents: frozenset[str]
    teams: frozenset[str]
    orgs: frozenset[str]


@dataclass
class Surroundings:
    """What a configuration's policies are checked against."""

    names: Names
    catalog: Catalog
    wildcards: WildcardResolver | None = None
    resolved: dict[str, Model] = field(default_factory=dict)
    """Models behind wildcards that policies name: they belong into the catalog."""
