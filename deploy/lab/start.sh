#!/bin/sh
# Start of the lab: a token that somebody has set, then JupyterLab on the repository.
set -eu
if [ -z "${JUPYTER_TOKEN:-}" ]; then
    echo "deploy/.env: LAB_TOKEN: empty, as in the example; deploy/secrets.sh fills it in" >&2
    exit 1
fi
exec jupyter lab --no-browser --ip=0.0.0.0 --port=8888 --ServerApp.root_dir=/repository
