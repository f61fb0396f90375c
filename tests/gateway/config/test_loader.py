"""Everything that can be wrong with a configuration, and that all of it is told at once."""

# ruff: noqa: E501  # a case a line reads better than one broken into pieces
from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.config.loader import load
from gateway.identity.keys import key_digest

from .conftest import Load, Problems

BASE = """\
providers:
  sim: {base_url: http://127.0.0.1:1/v1}
models:
  small: {provider: sim, price: {input: "1", output: "2"}, aliases: [s]}
agents:
  dev: {}
"""


def test_all_problems_are_told_at_once_by_line(problems: Problems) -> None:
    text = """\
srver: {port: 1}
server: {prot: 12, port: "x"}
providers:
  openai: {base_url: https://api.openai.com/v1, api_key: sk-clear}
  foo: {base_url: "${FOO_URL}"}
models:
  a: {deployments: [{provider: foo}, {provider: opnai, price: {input: 0.1}}]}
  zzzz: {provider: openai}
agents:
  dev: {team: reserch, allowed_models: [b]}
keys:
  k: {agent: dve, key: fb-clear, expires: soon}
"""

    assert problems(text) == [
        "config.yaml:1:1: srver: unknown setting 'srver'; did you mean 'server'?",
        "config.yaml:2:10: server.prot: unknown setting 'prot'; did you mean 'port'?",
        "config.yaml:2:26: server.port: should be a whole number, not text",
        "config.yaml:4:58: providers.openai.api_key: a secret is not written here in clear: "
        "put it in a variable and write ${NAME}, or in a file: file:/path",
        "config.yaml:5:19: providers.foo.base_url: FOO_URL is not set",
        "config.yaml:7:49: models.a.deployments[1].provider: no provider is called 'opnai'; did you mean 'openai'?",
        "config.yaml:7:56: models.a.deployments[1].price: needs `output`",
        'config.yaml:7:71: models.a.deployments[1].price.input: quote amounts of USD, so that they stay exact: "0.1"',
        "config.yaml:10:15: agents.dev.team: no team is called 'reserch'; there is 'default'",
        "config.yaml:10:41: agents.dev.allowed_models[0]: no model is called 'b'; there is 'a', 'zzzz'",
        "config.yaml:12:14: keys.k.agent: no agent is called 'dve'; did you mean 'dev'?",
        "config.yaml:12:24: keys.k.key: a secret is not written here in clear: "
        "put it in a variable and write ${NAME}, or in a file: file:/path",
        "config.yaml:12:43: keys.k.expires: should be a date such as `2027-01-31`, or `2027-01-31T18:00:00Z`",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1, 2]", "config.yaml:1:1: a configuration is a mapping of settings: `providers:`, `models:`, ..."),
        ("server: 5", "config.yaml:1:9: server: should be a mapping of settings, not a number"),
        ("models: [a]", "config.yaml:1:9: models: should be a mapping of names, not a list"),
        ("auth: maybe", "config.yaml:1:7: auth: should be `on` or `off`"),
        ("auth: 1", "config.yaml:1:7: auth: should be `on` or `off`"),
        ("server: {port: 70000}", "config.yaml:1:16: server.port: should be less than or equal to 65535"),
        ("server: {port: 40.5}", "config.yaml:1:16: server.port: should be a whole number, not a number"),
        ("server: {keepalive_s: true}", "config.yaml:1:23: server.keepalive_s: should be a number, not a true or false"),
        ("server: {host: on}", "config.yaml:1:16: server.host: should be text, not a true or false; quote it if it is meant as text"),
        ("storage: {record_content: 1}", "config.yaml:1:27: storage.record_content: should be `true` or `false`, not a number"),
        ("server: {tls: {certificate: x.pem}}", "config.yaml:1:10: server.tls: needs `key`"),
        ("server: {trusted_proxies: [10.0.0.0/8, here]}", "config.yaml:1:40: server.trusted_proxies[1]: should be an address or a network, such as `10.0.0.0/8`"),
        ("providers: {a b: {base_url: http://x}}", "config.yaml:1:13: providers.\"a b\": not a name that can be used here; allowed are letters, digits and `._-`, at most 64, a letter or digit first"),
        ("providers: {a: {base_url: ftp://x}}", "config.yaml:1:27: providers.a.base_url: should be a URL that starts with http:// or https://, without a query"),
        ("providers: {a: {base_url: http://u:pw@x/v1}}", "config.yaml:1:27: providers.a.base_url: credentials do not belong into a URL: use `api_key` or `headers`"),
        ("providers: {a: {base_url: http://x, proxy: socks5://p}}", "config.yaml:1:44: providers.a.proxy: should be a URL that starts with http://, without a query"),
        ("providers: {a: {base_url: http://x, ca_file: none.pem}}", "config.yaml:1:46: providers.a.ca_file: the file cannot be read: No such file or directory"),
        ("providers: {a: {base_url: http://x, headers: {X-A: \"b\\nc\"}}}", "config.yaml:1:37: providers.a.headers: header values are one line of ASCII text"),
        ("unpriced: free", "config.yaml:1:11: unpriced: should be `deny`, or `ceiling:` with `input` and `output`"),
        ("unpriced: {ceiling: {input: \"1\"}}", "config.yaml:1:12: unpriced.ceiling: needs `output`"),
        ("auth: off", "config.yaml:1:7: auth: `off` needs `anonymous_agent`: the agent that every caller then is"),
        ("auth: \"off\"\nserver: {host: 0.0.0.0}\nanonymous_agent: dev\nagents: {dev: {}}", "config.yaml:1:7: auth: `off` is for loopback addresses only: set `server.host` to 127.0.0.1"),
        ("agents: {dev: {trust: [money]}}", "config.yaml:1:24: agents.dev.trust[0]: should be 'value', 'priority' or 'complexity'"),
        ("agents: {dev: {}}\nkeys: {k: {agent: dev}}", "config.yaml:2:8: keys.k: needs one of `key` (a reference such as ${NAME}) and `sha256`"),
        ("agents: {dev: {}}\nkeys: {k: {agent: dev, sha256: abc}}", "config.yaml:2:32: keys.k.sha256: a SHA-256 is 64 hexadecimal digits, as `sha256sum` prints it"),
        ("agents: {dev: {}}\nkeys: {k: {agent: dev, sha256: \"" + "0" * 64 + "\", expires: 2027-01-01T10:00}}", "config.yaml:2:109: keys.k.expires: needs a time zone: `2027-01-31T18:00:00Z`"),
        ("simulator: {enabled: true, port: 4000}", "config.yaml:1:34: simulator.port: the same address and port as server.port"),
        ("teams: {a: {org: acme}}", "config.yaml:1:18: teams.a.org: no org is called 'acme'; there is 'default'"),
        ("server:\n  port: 1\n  port: 2", "config.yaml:3:3: server.port: 'port' is already defined at line 2"),
    ],
)  # fmt: skip
def test_each_problem_has_its_place_and_its_remedy(problems: Problems, text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_an_empty_file_is_a_configuration(load_text: Load) -> None:
    snapshot = load_text("")

    assert snapshot.auth
    assert snapshot.server.port == 4000
    assert snapshot.catalog.models == {}


def test_empty_sections_and_entries_have_all_defaults(load_text: Load) -> None:
    snapshot = load_text("server:\nproviders:\norgs:\nagents:\n  dev:\n")

    assert (snapshot.agents["dev"].team, snapshot.agents["dev"].org) == ("default", "default")


def test_a_file_that_is_not_there_or_no_text_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml", {})
    (tmp_path / "binary.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load(tmp_path / "binary.yaml", {})


def test_settings_arrive_in_the_snapshot(load_text: Load, tmp_path: Path) -> None:
    snapshot = load_text(
        """\
server: {port: "${PORT:-4001}", trusted_proxies: [10.0.0.0/8], drain_s: 5}
admin: {key: "${ADMIN}", viewer_key: "${VIEWER:-}", listen: {port: 4002}}
auth: off
anonymous_agent: dev
storage: {dir: state, record_content: "${RECORD}"}
simulator: {speed: 0}
orgs: {acme: {}}
teams: {lab: {org: acme}}
agents: {dev: {team: lab, trust: [value], allowed_models: ["openai/*"]}}
""",
        {"ADMIN": "sixteen letters.", "RECORD": "true"},
    )

    assert (snapshot.server.port, snapshot.server.drain_s) == (4001, 5)
    assert snapshot.server.trusted_proxies == ("10.0.0.0/8",)
    assert snapshot.admin.admin_key_sha256 == key_digest("sixteen letters.")
    assert snapshot.admin.viewer_key_sha256 is None
    assert (snapshot.admin.host, snapshot.admin.port) == ("127.0.0.1", 4002)
    assert (snapshot.auth, snapshot.anonymous_agent) == (False, "dev")
    assert snapshot.storage.dir == tmp_path / "state"
    assert snapshot.storage.record_content is True
    agent = snapshot.agents["dev"]
    assert (agent.team, agent.org, agent.trust) == ("lab", "acme", frozenset({"value"}))
    assert agent.allowed_models == frozenset({"openai/*"})


def test_endpoints_have_credentials_limits_and_proxies(load_text: Load) -> None:
    snapshot = load_text(
        """\
providers:
  a:
    base_url: https://a.example/v1/
    api_key: ${KEY}
    headers: {X-Team: "${TEAM}"}
    timeouts: {idle_s: 5}
    max_connections: 7
  b: {base_url: https://b.example, proxy: none}
  c: {base_url: https://c.example, proxy: "http://user:${PW}@other:3128"}
""",
        {"KEY": "sk-a", "TEAM": "x", "PW": "pw", "HTTPS_PROXY": "http://proxy:3128"},
    )
    a, b, c = (snapshot.endpoints[name] for name in "abc")

    assert a.base_url == "https://a.example/v1"
    assert a.headers == (("Authorization", "Bearer sk-a"), ("X-Team", "x"))
    assert (a.timeouts.idle_s, a.timeouts.connect_s, a.max_connections) == (5, 5, 7)
    assert (a.proxy, b.proxy, c.proxy) == ("http://proxy:3128", None, "http://user:pw@other:3128")
    assert b.headers == ()


def test_credentials_are_one_line_and_not_given_twice(problems: Problems) -> None:
    text = """\
providers:
  a: {base_url: http://a, api_key: "${KEY}"}
  b: {base_url: http://b, api_key: "${OK}", headers: {authorization: x}}
"""

    assert problems(text, {"KEY": "sk\r\nX-Evil: 1", "OK": "sk"}) == [
        "config.yaml:2:36: providers.a.api_key: a key is one line of ASCII text; what the reference stands for is not",
        "config.yaml:3:54: providers.b.headers: has an Authorization header although there is an `api_key`",
    ]


def test_keys_are_stored_as_digests(load_text: Load) -> None:
    snapshot = load_text(
        BASE
        + f"""\
keys:
  ci: {{agent: dev, key: "${{CI}}", expires: 2027-01-31, allowed_models: [s]}}
  cd: {{agent: dev, sha256: {"AB" * 32}, expires: "2027-01-31T01:00:00+01:00"}}
""",
        {"CI": "fb-ci"},
    )
    ci, cd = snapshot.keys

    assert (ci.id, ci.agent, ci.name, ci.sha256) == ("config:ci", "dev", "ci", key_digest("fb-ci"))
    assert ci.expires_at_s == cd.expires_at_s == 1_801_353_600
    assert (ci.allowed_models, cd.allowed_models) == (frozenset({"s"}), None)
    assert cd.sha256 == bytes.fromhex("ab" * 32)


def test_one_key_has_one_name(problems: Problems) -> None:
    text = (
        BASE
        + 'keys:\n  a: {agent: dev, key: "${K}"}\n  b: {agent: dev, key: "${L}"}\n  c: {agent: dev, key: "${M:-}"}\n'
    )

    assert problems(text, {"K": "fb-1", "L": "fb-1"}) == [
        "config.yaml:9:3: keys.b: the same key as keys.a",
        "config.yaml:10:24: keys.c.key: is empty",
    ]


def test_an_admin_key_is_not_to_be_guessed(problems: Problems, load_text: Load) -> None:
    text = 'admin: {key: "${ADMIN}", viewer_key: "${VIEWER}"}'
    words = "has fewer than 16 characters: `openssl rand -hex 32` makes one nobody guesses"

    assert problems(text, {"ADMIN": "x", "VIEWER": "fifteen letters"}) == [
        f"config.yaml:1:14: admin.key: {words}",
        f"config.yaml:1:38: admin.viewer_key: {words}",
    ]
    assert load_text(text, {"ADMIN": "sixteen letters.", "VIEWER": "sixteen letters,"}).admin.viewer_key_sha256


def test_env_file_beside_the_configuration_is_read(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=4567\n")

    snapshot = load_text("server: {port: '${PORT}'}")

    assert snapshot.server.port == 4567
    assert tmp_path / ".env" in snapshot.files
