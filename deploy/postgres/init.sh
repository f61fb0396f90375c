#!/usr/bin/env bash
# Run once by PostgreSQL's image, when the database is made.
set -euo pipefail
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f /farebox/grafana.sql
psql -v ON_ERROR_STOP=1 -v password="$GRAFANA_DB_PASSWORD" -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
ALTER ROLE grafana PASSWORD :'password';
SQL
