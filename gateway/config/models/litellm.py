"""What a provider needs that is reached through the LiteLLM SDK."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.models.base import Flag, Written
from gateway.config.variables import Resolved

_OURS = {
    "api_base": "`base_url` of the provider",
    "api_key": "`api_key` of the provider",
    "base_url": "`base_url` of the provider",
    "custom_llm_provider": "`provider`",
    "extra_headers": "`headers` of the provider",
    "headers": "`headers` of the provider",
    "input": "the client",
    "max_tokens": "the client, or the agent's `max_output_tokens`",
    "messages": "the client",
    "model": "the models",
    "prompt": "the client",
    "request_timeout": "`timeouts` of the provider",
    "stream": "the client",
    "stream_options": "the gateway",
    "stream_timeout": "`timeouts` of the provider",
    "timeout": "`timeouts` of the provider",
}
"""Parameters of the SDK that are settings elsewhere, and where."""
_OFF = re.compile(
    r"num_retries|max_retries|retry_|fallback|cach(e|ing)|callback|mock_|metadata|litellm_|client$|shared_session|logger_fn"
    r"|verbose|cost_per|no-log|guardrails$|model_list|api_key_|_is_",
)
"""What the gateway does itself, or does without."""
_SECRET_NAME = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)
_NO_SECRET = re.compile(r"(_name|_id|_file|_path|_region|_endpoint|_url|_tokens)$|^aws_role|^max_")


class LiteLLM(Written):
    """The SDK's name for the provider, and parameters that go to it as they are: `aws_region_name` and the like."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, hide_input_in_errors=True)
    __pydantic_extra__: dict[str, Any]

    provider: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")] = Field(
        description="As LiteLLM calls it: `bedrock`, `vertex_ai`, `cohere_chat`. Other settings beside it are passed "
        "on to LiteLLM: `aws_region_name`, `vertex_project`."
    )
    drop_params: Flag = Field(
        False, description="Leave out what the provider has no words for, in place of refusing the request."
    )

    @model_validator(mode="after")
    def _passed_on(self) -> LiteLLM:
        for name, value in (self.model_extra or {}).items():
            if name in _OURS:
                message = "`{name}` is not set here: that is up to {where}"
                raise PydanticCustomError("litellm", message, {"name": name, "where": _OURS[name]})
            if _OFF.search(name):
                raise PydanticCustomError("litellm", "`{name}` is off: the gateway sees to that itself", {"name": name})
            if _in_clear(name, value):
                message = "`{name}` is not written here in clear: put it in a variable and write {form}, or file:/path"
                raise PydanticCustomError("secret", message, {"name": name, "form": "${NAME}"})
        return self


def _in_clear(name: str, value: Any) -> bool:
    """Whether a secret stands here as itself."""
    if isinstance(value, dict):
        return any(_in_clear(inner, part) for inner, part in value.items())
    if not isinstance(value, str) or isinstance(value, Resolved) or not value:
        return False
    if "PRIVATE KEY" in value:
        return True
    is_path = name.endswith("credentials") and not value.lstrip().startswith("{")
    return _SECRET_NAME.search(name) is not None and _NO_SECRET.search(name) is None and not is_path
