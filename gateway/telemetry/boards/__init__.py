"""Level 7: Grafana's boards, built from the catalogue of metrics and the journal's tables. A program of its own.

`python -m gateway.telemetry.boards` writes dashboards/grafana/*.json (`make boards`). It needs grafana-foundation-sdk,
which only development installs, and nothing that serves requests imports this package.

One file a board; `queries` has the pieces of PromQL and SQL that they share, `panels` and `tables` draw them, `frame`
holds what every board has: data sources, variables, links to the other boards.
"""
