"""The SDK as this version has it: what is switched off is there to be switched off, and nothing tells tales."""

from __future__ import annotations

import io
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout

import pytest

from gateway.upstream.dialects.litellm_bridge import sdk
from gateway.upstream.dialects.litellm_bridge.bridge import Bridge
from tests.gateway.upstream.dialects.litellm_bridge.providers import SECRET, bedrock, converse, start
from tests.gateway.upstream.raw_server import Peer, RawServer, answer, eventually, quick

pytest.importorskip("boto3", reason="Bedrock's credentials")


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(sdk.load).result()


@pytest.mark.parametrize("name", sdk._SETTINGS)
def test_every_switch_exists_and_is_set(name: str) -> None:
    import litellm

    assert getattr(litellm, name) == sdk._SETTINGS[name]
    assert name in vars(litellm)


def test_what_is_replaced_inside_was_there() -> None:
    import importlib
    import inspect

    import litellm
    from litellm.llms.custom_httpx import http_handler

    source = inspect.getsource(http_handler)
    assert "AsyncHTTPHandler._create_async_transport(" in source
    assert 'getattr(litellm, "sync_transport"' in source
    for name in ("_create_async_transport", "_create_sync_transport"):
        assert name in source
    logs = inspect.getsource(importlib.import_module("litellm.litellm_core_utils.litellm_logging"))
    for name in ("success_handler", "failure_handler", "async_success_handler", "async_failure_handler"):
        assert f"def {name}(" in logs
    utils = inspect.getsource(importlib.import_module("litellm.utils"))
    assert '"update_response_metadata"' in utils
    assert "_is_litellm_internal_call" in utils
    assert isinstance(litellm.sync_transport, sdk.WatchedSyncTransport)


def test_our_environment_keeps_what_a_dotenv_file_would_change() -> None:
    assert os.environ["LITELLM_MODE"] == "PRODUCTION"
    assert os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad", b"500 Oh"])
async def test_nothing_of_a_call_is_logged_or_printed(
    bridge: Bridge, caplog: pytest.LogCaptureFixture, status: bytes
) -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(answer(converse("a secret answer"), status=status))

    printed = io.StringIO()
    with caplog.at_level(logging.DEBUG), redirect_stdout(printed), redirect_stderr(printed):
        async with RawServer(serve) as server:
            asked = {"messages": [{"role": "user", "content": "a secret question"}]}
            call = start(bridge, bedrock(server, timeouts=quick(connect_s=60.0)), asked)
            await (await call.response()).read()

    told = caplog.text + printed.getvalue()
    assert "secret" not in told
    assert SECRET not in told
    assert "Give Feedback" not in told


async def test_its_thread_ends_with_the_bridge() -> None:
    made = Bridge()
    async with RawServer() as server:
        start(made, bedrock(server))
        thread = made._thread
        assert thread is not None
        assert thread.daemon
        await made.close()
        await eventually(lambda: thread not in threading.enumerate())
