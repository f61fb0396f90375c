"""Tests of what an operator imports: Grafana's boards, Prometheus' rules, the compose file."""
