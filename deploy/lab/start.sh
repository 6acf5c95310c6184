#!/bin/sh
# Start of the lab: a token that somebody has set, a copy of the checkout, then JupyterLab on it.
set -eu
if [ -z "${JUPYTER_TOKEN:-}" ]; then
    echo "deploy/.env: LAB_TOKEN: empty, as in the example; deploy/secrets.sh fills it in" >&2
    exit 1
fi
# Whoever owns the checkout has a home of its own in the volume: an earlier owner's files, root's
# for one, cannot be written by another.
HOME="$HOME/$(id -u)"
export HOME DVC_SITE_CACHE_DIR="$HOME/.cache/dvc"
mkdir -p "$HOME"

# Once, into a volume that is new. What DVC keeps beside is made there anew; later changes come as
# `git pull checkout main`.
copied=/repository/.treeline/copied
if [ ! -e "$copied" ]; then
    tar --create --directory=/checkout --exclude=./.venv --exclude=./build --exclude=./deploy/.env \
        --exclude=./.treeline --exclude=./.dvc/cache --exclude=./.dvc/tmp --file=- . |
        tar --extract --directory=/repository --no-same-owner --no-overwrite-dir --file=-
    if [ -d /repository/.git ]; then
        git -C /repository remote remove checkout 2>/dev/null || true
        git -C /repository remote add checkout /checkout
    fi
    mkdir -p "${copied%/*}"
    touch "$copied"
elif [ ! -w /repository ]; then
    owner=$(stat --format=%u /repository/.treeline)
    echo "The lab's copy belongs to user $owner and cannot be written: set LAB_UID=$owner and LAB_GID=$owner" \
        "in deploy/.env, or make the copy anew without its volume 'repository'" >&2
fi
exec jupyter lab --no-browser --ip=0.0.0.0 --port=8888 --ServerApp.root_dir=/repository
