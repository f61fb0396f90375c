"""The `alerts` section."""

from __future__ import annotations

import pytest

from gateway.config.snapshot import AlertSettings
from tests.gateway.config.conftest import Load, Problems

URL = "https://hooks.slack.example/services/T0/B0/s3cret?x=1"
ENVIRON = {"HOOK": URL, "TOKEN": "t0ken"}
BASE = "agents: {dev: {}}\n"


def test_nobody_is_told_by_default(load_text: Load) -> None:
    assert load_text(BASE).alerts == AlertSettings()


def test_all_of_it(load_text: Load) -> None:
    settings = load_text(
        BASE
        + "alerts:\n"
        + "  sinks:\n"
        + "    ops: {type: slack, url: '${HOOK}', kinds: [budget, loop]}\n"
        + "    pager: {type: webhook, url: '${HOOK}', headers: {authorization: '${TOKEN}'}}\n"
        + "    log: {type: log}\n"
        + "  repeat: 30m\n"
        + "  links: {run: 'https://g.example/d/x?var-run={run}'}\n",
        ENVIRON,
    ).alerts
    ops, pager, log = settings.sinks
    assert (ops.name, ops.type, ops.kinds) == ("ops", "slack", frozenset(("budget", "loop")))
    assert ops.endpoint is not None
    assert ops.endpoint.base_url == "https://hooks.slack.example"
    assert ops.path == b"/services/T0/B0/s3cret?x=1"
    assert pager.endpoint is not None
    assert pager.endpoint.headers == (("authorization", "t0ken"),)
    assert (log.type, log.endpoint, log.kinds) == ("log", None, None)
    assert (settings.repeat_s, settings.links) == (1_800.0, (("run", "https://g.example/d/x?var-run={run}"),))
    assert "s3cret" not in repr(settings)
    assert "t0ken" not in repr(settings)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("sinks: {a: {type: slack, url: 'https://in.clear/x'}}", "a secret is not written here in clear"),
        ("sinks: {a: {type: slack}}", "needs a `url`"),
        ("sinks: {a: {type: log, url: '${HOOK}'}}", "a `log` sink has no `url`"),
        ("sinks: {a: {type: webhook, url: '${TOKEN}'}}", "should be a URL: https://host/path"),
        ("sinks: {a: {type: webhook, url: '${ODD}'}}", "should be a URL: https://host/path"),
        ("sinks: {a: {type: webhook, url: '${USER_URL}'}}", "should be a URL: https://host/path"),
        ("sinks: {a: {type: webhook, url: '${HOOK}', kinds: [budgets]}}", "kinds"),
        ("sinks: {a: {type: mail, url: '${HOOK}'}}", "type"),
        ("sinks: {a: {type: webhook, url: '${HOOK}', ca_file: no.pem}}", "the file cannot be read"),
        ("links: {run: 'ftp://x/{run}'}", "should begin with http:// or https://"),
        ("links: {run: 'https://x/{runs}'}", "there is no {runs}"),
        ("repeat: often", "repeat"),
    ],
)
def test_what_is_wrong_is_said_without_the_url(problems: Problems, written: str, problem: str) -> None:
    environ = {**ENVIRON, "ODD": "https://hoo ks.example/s3cret", "USER_URL": "https://u:s3cret@hooks.example/"}
    found = problems(BASE + "alerts: {" + written + "}\n", environ)
    assert len(found) == 1, found
    assert problem in found[0]
    assert "s3cret" not in found[0]


def test_a_proxy_of_the_environment_counts(load_text: Load) -> None:
    text = BASE + "alerts: {sinks: {a: {type: slack, url: '${HOOK}'}}}\n"
    (sink,) = load_text(text, {**ENVIRON, "HTTPS_PROXY": "http://proxy.example:3128"}).alerts.sinks
    assert sink.endpoint is not None
    assert sink.endpoint.proxy == "http://proxy.example:3128"
