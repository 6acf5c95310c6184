#!/usr/bin/env bash
# Ends every service of every profile. What they stored stays, in volumes; `deploy/down.sh
# --volumes` throws that away too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
docker compose --file compose.yaml --profile '*' down "$@"
