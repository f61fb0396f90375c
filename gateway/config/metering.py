"""What a deployment declares about its streams and fields, compiled."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from gateway.config.models.models import Deployment
from gateway.config.models.providers import Provider
from gateway.config.problems import YamlPath
from gateway.config.validate import Tree
from routing.catalog import Metering

_OPENAI_HOST = "api.openai.com"


def is_metered(spec: Deployment) -> bool:
    """Whether streams can be counted: both declarations are made."""
    return spec.countable_stream is True and spec.stops_on_disconnect is True


def check_metering(tree: Tree, path: YamlPath, spec: Deployment) -> None:
    """Report a `metering` that its deployment does not declare to be possible."""
    if spec.metering is not None and not is_metered(spec) and not tree.damaged(path):
        message = "needs `countable_stream: true` and `stops_on_disconnect: true` beside it"
        tree.complain((*path, "metering"), message, key=True)


def declared(spec: Deployment, provider: Provider) -> dict[str, Any]:
    """The fields of a `routing.catalog.Deployment` that are the configuration's own word."""
    host = urlsplit(str(provider.base_url)).hostname
    usual = "max_completion_tokens" if host == _OPENAI_HOST else "max_tokens"
    return {
        "max_output_tokens": spec.max_output_tokens,
        "metering": _metering(spec),
        "max_tokens_field": spec.max_tokens_field or usual,
        "image_tokens": spec.image_tokens,
        "tags": frozenset(spec.tags or ()),
        **dict.fromkeys(spec.cannot or (), False),
    }


def _metering(spec: Deployment) -> Metering | None:
    if not is_metered(spec):
        return None
    return Metering() if spec.metering is None else Metering(**spec.metering.model_dump())
