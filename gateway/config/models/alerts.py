"""Alerts, as people write them. docs/how-to/alerts.md explains them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.durations import parse_duration
from gateway.config.models.base import EmptyIsNone, Id, PathText, Secret, Text, Written, word
from gateway.config.models.providers import HeaderName

AlertKind = Literal["budget", "loop", "runaway", "breaker", "credentials"]
PLACES = ("org", "team", "agent", "run", "user", "budget", "scope", "breaker", "provider")
"""What a link may name in braces."""
_PLACE = re.compile(r"\{(\w*)\}")


def _link(template: str) -> str:
    if not template.startswith(("http://", "https://")):
        raise PydanticCustomError("url", "should begin with http:// or https://")
    unknown = [name for name in _PLACE.findall(template) if name not in PLACES]
    if unknown:
        message = "there is no {name}; a link may name {places}"
        places = ", ".join(f"{{{place}}}" for place in PLACES)
        raise PydanticCustomError("link", message, {"name": f"{{{unknown[0]}}}", "places": places})
    return template


Link = Annotated[Text, AfterValidator(_link)]
Repeat = Annotated[str, word(parse_duration, "a length of time such as `1h`")]


class Sink(Written):
    """Where alerts go."""

    type: Literal["slack", "webhook", "log"] = Field(
        description="`slack`: an incoming webhook of Slack, or of what understands its messages (Mattermost, "
        "Rocket.Chat). `webhook`: JSON by POST. `log`: a line in the gateway's log."
    )
    url: Secret = Field(None, repr=False, description="Where to post: a reference, since whoever knows it can post.")
    headers: Annotated[dict[HeaderName, Secret], EmptyIsNone] = Field(
        {}, repr=False, description="Headers to send, by reference: a token that the receiver asks for."
    )
    kinds: list[AlertKind] | None = Field(None, description="Only alerts of these kinds. Default: all.")
    ca_file: PathText | None = Field(None, description="A private CA's bundle, instead of the system's trust store.")

    @model_validator(mode="after")
    def _fits(self) -> Sink:
        if self.type == "log" and (self.url is not None or self.headers or self.ca_file):
            raise PydanticCustomError("sink", "a `log` sink has no `url`, `headers` or `ca_file`")
        if self.type != "log" and self.url is None:
            raise PydanticCustomError("sink", "needs a `url`")
        return self


class Alerts(Written):
    """Who is told when something is wrong."""

    sinks: Annotated[dict[Id, Sink], EmptyIsNone] = Field(
        {}, max_length=20, description="Where alerts go, by name. None: nobody is told."
    )
    repeat: Repeat = Field("1h", description="The same alert is not told again for so long: `30m`, `6h`.")
    links: Annotated[dict[Id, Link], EmptyIsNone] = Field(
        {},
        max_length=10,
        examples=[{"run": "https://grafana.example.org/d/farebox-runs?var-run={run}"}],
        description="Links to add, by name. What is in braces is filled in; a link that needs what an alert does not "
        "have is left out.",
    )
