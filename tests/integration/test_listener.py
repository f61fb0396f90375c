"""The listener: TLS of its own, and proxies whose word on the client's address is believed."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY

AUTH = {"authorization": f"Bearer {TESTER_KEY}"}
ASK = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}], "stream": True}


async def test_https(simulator: SimulatorServer, start_gateway: StartGateway, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    files = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    gateway = await start_gateway(f"{simulator.url}/v1", server={"tls": files})
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    assert gateway.url.startswith("https://")
    async with httpx.AsyncClient(verify=trusting, base_url=gateway.url) as client:
        answer = await client.post("/v1/chat/completions", headers=AUTH, json=ASK)
        assert answer.text.endswith("data: [DONE]\n\n")
    async with httpx.AsyncClient(base_url=gateway.url) as strict:
        with pytest.raises(httpx.ConnectError):
            await strict.get("/healthz")


@pytest.mark.parametrize(("trusted", "seen"), [(["127.0.0.1"], "203.0.113.9"), (["10.0.0.0/8"], "127.0.0.1")])
async def test_only_trusted_proxies_say_who_the_client_is(
    simulator: SimulatorServer,
    start_gateway: StartGateway,
    caplog: pytest.LogCaptureFixture,
    trusted: list[str],
    seen: str,
) -> None:
    caplog.set_level("INFO")
    gateway = await start_gateway(f"{simulator.url}/v1", server={"trusted_proxies": trusted}, access_log=True)
    forwarded = {"x-forwarded-for": "203.0.113.9", "authorization": "Bearer fb-wrong"}
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.post("/v1/chat/completions", headers=forwarded, json=ASK)).status_code == 401
    await gateway.app.flush()
    [record] = [record for record in caplog.records if getattr(record, "client", None)]
    assert record.client == seen  # type: ignore[attr-defined]
