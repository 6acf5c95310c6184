#!/usr/bin/env bash
# Saves what the services that run have stored into a folder, which must be new: uploads and what waits
# for the prediction log, the log, MLflow's registry and its files. Nothing is stopped; S3 stands still
# while it is copied. Options of `docker compose` such as --env-file or --project-name go first.
#   deploy/backup.sh backups/2030-01-31        (MySQL and the lab are sources and copies: not saved)
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
folder=${*: -1}
options=("${@:1:$#-1}")
mkdir -p "$(dirname "$folder")"
mkdir -m 700 "$folder"
folder=$(cd "$folder" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"

compose() {
    docker compose --file compose.yaml --profile '*' ${options[@]+"${options[@]}"} "$@"
}

runs() {
    [ -n "$(compose ps --quiet --status running "$1")" ]
}

# What a command prints becomes a file, as a whole or not at all.
save() {
    local name=$1
    shift
    echo "Saving $name"
    "$@" >"$folder/.$name"
    mv "$folder/.$name" "$folder/$name"
}

paused=""
trap '[ -z "$paused" ] || compose unpause s3 >/dev/null' EXIT

# What waits for the log is saved before it: what is shipped meanwhile is in both, and counts once.
! runs api || save state.tar compose exec --no-TTY --index 1 api python -m api.backup save
! runs postgres || save log.dump compose exec --no-TTY postgres pg_dump --username treeline --format custom treeline
# MLflow's database names files in S3: what it names now is there afterwards.
! runs tracking-database ||
    save registry.dump compose exec --no-TTY tracking-database pg_dump --username mlflow --format custom mlflow
if runs s3; then
    compose pause s3 >/dev/null
    paused=yes
    volume=$(docker inspect --format '{{range .Mounts}}{{if eq .Destination "/data"}}{{.Name}}{{end}}{{end}}' \
        "$(compose ps --quiet s3)")
    save files.tar docker run --rm --network none --volume "$volume:/data:ro" python:3.11-slim \
        python -c 'import sys, tarfile; tarfile.open(fileobj=sys.stdout.buffer, mode="w|").add("/data", arcname=".")'
fi
[ -n "$(ls "$folder")" ] || { rmdir "$folder"; echo "Nothing runs that could be saved." >&2; exit 1; }
(cd "$folder" && sha256sum -- * >SHA256SUMS)
echo "Saved to $folder; deploy/restore.sh brings it back on an empty machine"
