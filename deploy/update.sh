#!/usr/bin/env bash
# Replaces every replica by one of the image as it is now, without losing a request: as many new
# ones are started beside the old ones, and these are stopped one after the other once all are
# ready. Options of `docker compose` such as --env-file or --project-name go first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

compose() {
    docker compose --file compose.yaml --profile api "$@"
}

mapfile -t former < <(compose "$@" ps --quiet api)
count=${#former[@]}
if [ "$count" = 0 ]; then
    echo "No replica runs yet: start them with \`deploy/up.sh api\`." >&2
    exit 1
fi

echo "Starting $count replicas beside the $count there are"
if ! compose "$@" up --detach --wait --no-deps --no-recreate --scale "api=$((2 * count))" api; then
    echo "The new ones did not become ready; the former serve on." >&2
    mapfile -t all < <(compose "$@" ps --all --quiet api)
    for container in "${all[@]}"; do
        if [[ " ${former[*]} " != *" $container "* ]]; then
            docker logs --tail 20 "$container" >&2 || true
            docker rm --force "$container" >/dev/null
        fi
    done
    exit 1
fi

sleep 3 # until the balancer has seen the new ones: it asks twice a second
for container in "${former[@]}"; do
    docker stop --time 40 "$container" >/dev/null
    docker rm "$container" >/dev/null
    echo "Replaced ${container:0:12}"
done
