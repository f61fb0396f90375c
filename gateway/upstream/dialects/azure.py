"""Azure OpenAI and Azure AI Foundry.

Two forms of the API (learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle):

- `https://NAME.openai.azure.com/openai/v1`, the current one, is OpenAI's own but for the key's header. `api_version` is
  not needed; `preview` is added when it is configured.
- `https://NAME.openai.azure.com` with `api_version: 2024-10-21`, the classic one, has the deployment in its path, which
  is the model's name here. A base URL that says more (`.../openai/deployments/NAME`, or `.../models` of Foundry's
  inference API) is kept as it is.

A filter refuses a prompt with 400 and `content_filter`; `innererror.code` is `ResponsibleAIPolicyViolation`
(learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter). An Entra token goes into `headers` as
`Authorization`, without `api_key`.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote, urlsplit

from gateway.config.snapshot import Endpoint
from gateway.upstream.dialects.complaints import Words
from gateway.upstream.dialects.openai import OpenAI, path
from gateway.upstream.dialects.protocol import Wish


class Azure(OpenAI):
    """OpenAI's wire with other paths and another header for the key."""

    name = "azure"
    credentials = ("api-key", "")
    words = Words(content_filter=("responsibleaipolicyviolation",))

    def path(self, api: str, wish: Wish, endpoint: Endpoint) -> bytes:
        """With the deployment in the classic form, and with the version where one is configured."""
        return _prefix(endpoint.base_url, wish.upstream_model) + path(api) + _query(endpoint.api_version)


@lru_cache(maxsize=1024)
def _prefix(base_url: str, model: str) -> bytes:
    base = urlsplit(base_url).path.rstrip("/")
    if base not in ("", "/openai"):
        return b""
    start = "" if base else "/openai"
    return f"{start}/deployments/{quote(model, safe='')}".encode()


def _query(api_version: str | None) -> bytes:
    return b"" if api_version is None else b"?api-version=" + api_version.encode()


DIALECT = Azure()
