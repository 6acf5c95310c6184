#!/usr/bin/env bash
# Brings back what deploy/backup.sh has saved, where nothing of it is stored yet: the volumes that it
# fills must not be there. Then `deploy/up.sh` starts as ever. Options of `docker compose` go first.
#   deploy/restore.sh backups/2030-01-31
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
folder=$(cd "${*: -1}" && pwd)
options=("${@:1:$#-1}")
cd "$(dirname "${BASH_SOURCE[0]}")"

# With the services of one profile alone: compose makes the volumes of all that it is shown.
profile='*'
compose() {
    docker compose --file compose.yaml --profile "$profile" ${options[@]+"${options[@]}"} "$@"
}

(cd "$folder" && sha256sum --quiet --check SHA256SUMS)
project=$(compose config --format json | python3 -c 'import json, sys; print(json.load(sys.stdin)["name"])')
declare -A volumes=([state.tar]=state [log.dump]=postgres [registry.dump]=tracking-database [files.tar]=s3)
for name in "${!volumes[@]}"; do
    volume=${project}_${volumes[$name]}
    if [ -e "$folder/$name" ] && docker volume inspect "$volume" >/dev/null 2>&1; then
        echo "$volume is there already: restore on an empty machine, or throw away what is stored" \
            "(\`deploy/down.sh --volumes\`)" >&2
        exit 1
    fi
done

# A database that was made by its image, filled from a dump in one transaction, and ended again.
database() {
    local service=$1 name=$2 file=$3
    [ -e "$folder/$file" ] || return 0
    echo "Restoring $file"
    compose up --detach --wait --no-deps "$service"
    compose exec --no-TTY "$service" \
        pg_restore --username "$name" --dbname "$name" --exit-on-error --single-transaction <"$folder/$file"
    compose stop "$service"
}

profile=postgres
database postgres treeline log.dump
profile=tracking
database tracking-database mlflow registry.dump
if [ -e "$folder/files.tar" ]; then
    echo "Restoring files.tar"
    compose create --no-deps s3 >/dev/null
    docker run --rm --interactive --network none --volume "${project}_s3:/data" python:3.11-slim \
        python -c 'import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode="r|").extractall("/data", numeric_owner=True)' \
        <"$folder/files.tar"
fi
if [ -e "$folder/state.tar" ]; then
    echo "Restoring state.tar"
    profile=api
    compose run --rm --no-deps --no-TTY api python -m api.backup restore <"$folder/state.tar"
fi
echo "Restored; deploy/up.sh starts it"
