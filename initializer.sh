#!/usr/bin/env bash
# Starts the service: in the image, and from a checkout (`make serve`). Settings are environment
# variables: HOST, PORT, WEB_CONCURRENCY (worker processes), GRACEFUL_SECONDS (for requests under
# way when stopped), ACCESS_LOG (`-` for standard output), and the API_… of api/settings.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ -d .venv/bin ]; then
    export PATH="$PWD/.venv/bin:$PATH"
fi

if [ -d src/own ]; then
    export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" # classes of your own
fi

export PYTHONUTF8=1 # texts are UTF-8, whatever the locale is
export HOST="${HOST:-127.0.0.1}"
export PORT="${PORT:-8000}"
# The worker that wakes first takes one connection, not all that wait: the others get theirs.
export UV_TCP_SINGLE_ACCEPT="${UV_TCP_SINGLE_ACCEPT:-1}"

options=(
    --config python:api.workers
    --bind "$HOST:$PORT"
    --workers "${WEB_CONCURRENCY:-2}" # while one restarts, the other answers
    --worker-class api.http.server.LimitedWorker
    --limit-request-line 8190         # bytes of an address; heads have limits, see api/http/server.py
    --timeout 60                      # a worker that shows no sign of life that long is replaced
    --graceful-timeout "${GRACEFUL_SECONDS:-20}"
    --keep-alive 75                   # longer than a balancer's, so that it closes first
    --no-control-socket               # nothing to write beside the service
)
if [ -w /dev/shm ]; then
    options+=(--worker-tmp-dir /dev/shm) # signs of life: in memory, also on a read-only disk
fi
if [ -n "${ACCESS_LOG:-}" ]; then
    options+=(--access-logfile "$ACCESS_LOG")
fi

exec gunicorn "${options[@]}" api.main:app
