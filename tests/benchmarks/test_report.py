from __future__ import annotations

import io
import json

from rich.console import Console

from benchmarks.measure import QUICK, Sample
from benchmarks.report import Findings, as_json, table

DIRECT = Sample(requests_per_s=100_000, p50_us=60, p99_us=200, cpu_us=8)
NGINX = Sample(requests_per_s=50_000, p50_us=160, p99_us=400, cpu_us=20)
GATEWAY = Sample(requests_per_s=6_000, p50_us=2_060, p99_us=3_200, cpu_us=150)


def findings(*, nginx: bool) -> Findings:
    plain = {"direct": DIRECT, "gateway": GATEWAY} | ({"nginx": NGINX} if nginx else {})
    stream = {"gateway": Sample(32, 1e6, 1e6, 900)} | ({"nginx": Sample(32, 1e6, 1e6, 300)} if nginx else {})
    tools = {"load": "own", "nginx": "nginx" if nginx else None}
    return Findings(QUICK, {1: plain, 16: plain, 64: plain}, stream, 1.23456, 0.9, 60.0, 70.04, tools)


def test_the_figures_are_where_they_are_promised() -> None:
    report = json.loads(json.dumps(as_json(findings(nginx=True))))
    assert report["plain"]["c16"]["cpu_us"] == 150
    assert report["plain"]["c16"]["nginx_ratio"] == 7.5
    assert report["plain"]["c1"]["added_p50_us"] == 2_000
    assert report["plain"]["c64"]["added_p99_us"] == 3_000
    assert report["stream"]["c32"]["cpu_us_per_event"] == 900 / QUICK.events
    assert (report["start_s"], report["rss_mb"]) == (1.235, 70.0)


def test_null_where_nginx_is_missing() -> None:
    report = json.loads(json.dumps(as_json(findings(nginx=False))))
    assert report["plain"]["c16"]["nginx_ratio"] is None
    assert report["stream"]["c32"]["nginx_cpu_us_per_event"] is None
    assert report["plain"]["c16"]["cpu_us"] == 150


def test_the_table_shows_both() -> None:
    for nginx in (True, False):
        out = io.StringIO()
        Console(file=out, width=160).print(table(as_json(findings(nginx=nginx))))
        assert "c16" in out.getvalue()
        assert "1.235 / 0.9 s" in out.getvalue()
