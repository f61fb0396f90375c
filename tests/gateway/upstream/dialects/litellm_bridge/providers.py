"""Mock providers with wires of their own, over sockets: what Bedrock, Cohere and Vertex answer, byte by byte."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

from gateway.config.snapshot import Endpoint, LiteLLM
from gateway.upstream.dialects import litellm
from gateway.upstream.dialects.litellm_bridge.bridge import Bridge
from gateway.upstream.dialects.litellm_bridge.call import BridgeCall
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.requests import CHAT, read_request
from tests.gateway.upstream.raw_server import RawServer, quick

SECRET = "aws-secret-0123456789"
EVENT_STREAM = b"Content-Type: application/vnd.amazon.eventstream"
CLAUDE = "anthropic.claude-sonnet-4-20250514-v1:0"


def endpoint(url: str, provider: str, *, drop: bool = False, timeouts: Any = None, **params: Any) -> Endpoint:
    sdk = LiteLLM(provider, json.dumps(params).encode(), (SECRET,), drop)
    return Endpoint("acme", url, (), dialect="litellm", timeouts=timeouts or quick(), litellm=sdk)


def bedrock(server: RawServer, **changes: Any) -> Endpoint:
    base = server.url.removesuffix("/v1")
    params = {
        "aws_region_name": "eu-central-1",
        "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": SECRET,
        "aws_bedrock_runtime_endpoint": base,
    }
    return endpoint(base, "bedrock", **params, **changes)


def cohere(server: RawServer, **changes: Any) -> Endpoint:
    base = server.url.removesuffix("/v1")
    return endpoint(base, "cohere_chat", api_key=SECRET, api_base=f"{base}/v2/chat", **changes)


def start(
    bridge: Bridge, at: Endpoint, fields: dict[str, Any] | None = None, *, api: str = CHAT, model: str = CLAUDE
) -> BridgeCall:
    """Begin a call as `gateway.upstream.launch` does."""
    asked = {"model": "claude", "messages": [{"role": "user", "content": "hi"}], **(fields or {})}
    if api != CHAT:
        del asked["messages"]
    request = read_request(api, json.dumps(asked).encode())
    wish = Wish(model, None, "max_tokens", None, request.stream, "req_1", [])
    out = litellm.DIALECT.outgoing(request, wish, at)
    return bridge.start(at, b"POST", out.path, out.headers, out.body)


def aws_event(kind: str, payload: dict[str, Any], *, exception: bool = False) -> bytes:
    """One message of AWS's event stream: lengths and checksums around headers and JSON."""

    def header(name: str, value: str) -> bytes:
        return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()

    headers = header(":exception-type" if exception else ":event-type", kind)
    headers += header(":content-type", "application/json")
    headers += header(":message-type", "exception" if exception else "event")
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 20, "cacheReadInputTokens": 3, "cacheWriteInputTokens": 2}


def converse(text: str = "hello", usage: dict[str, int] | None = USAGE) -> bytes:
    message = {"role": "assistant", "content": [{"text": text}]}
    answer = {"output": {"message": message}, "stopReason": "end_turn", "metrics": {"latencyMs": 5}}
    return json.dumps({**answer, "usage": usage}).encode()


def delta(text: str) -> bytes:
    return aws_event("contentBlockDelta", {"delta": {"text": text}, "contentBlockIndex": 0})


BEGIN = aws_event("messageStart", {"role": "assistant"})
STOP = aws_event("contentBlockStop", {"contentBlockIndex": 0}) + aws_event("messageStop", {"stopReason": "end_turn"})
METADATA = aws_event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 5}})


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream_head(*headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n" % lines


LAST = b"0\r\n\r\n"


def payloads(data: bytes) -> list[Any]:
    """The events of a stream: their JSON, or the text `[DONE]`."""
    lines = [line.removeprefix("data: ") for line in data.decode().split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]
