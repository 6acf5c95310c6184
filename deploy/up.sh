#!/usr/bin/env bash
# Starts the profiles it is told, or those of COMPOSE_PROFILES, and waits until all is healthy.
# Images are built from the checkout, unless IMAGE names one that is there. Words that begin with
# `-` go to `docker compose up`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
file=${COMPOSE_ENV_FILES:-.env}
shown=${file/#.env/deploy/.env}
READYZ='
import json, os
from urllib.error import HTTPError
from urllib.request import urlopen
try:
    urlopen("http://127.0.0.1:" + os.environ.get("PORT", "8000") + "/readyz", timeout=9)
except HTTPError as error:
    told = json.load(error)
    print("The service is not ready:", told.get("detail") or told.get("title"))
    for each in told.get("errors", []):
        print(" ", each if isinstance(each, str) else "; ".join(map(str, each.values())))
'
ALL="api postgres tracking data lab monitoring"

# The value of a setting as compose sees it: the environment's, else the file's, else nothing.
value() {
    if [ -n "${!1-}" ]; then
        printf '%s' "${!1}"
    elif [ -e "$file" ]; then
        sed -nE "s/^$1=[\"']?([^\"']*)[\"']?$/\1/p" "$file" | tail -n 1
    fi
}

secrets() {
    case $1 in
        postgres) echo POSTGRES_PASSWORD ;;
        tracking)
            echo TRACKING_DATABASE_PASSWORD S3_SECRET_KEY
            echo TRACKING_PASSWORD LAB_TRACKING_PASSWORD SERVICE_TRACKING_PASSWORD
            ;;
        data) echo MYSQL_PASSWORD MYSQL_ROOT_PASSWORD ;;
        lab) echo LAB_TOKEN ;;
        monitoring) echo GRAFANA_PASSWORD ;;
    esac
}

# Where each profile that was started is met.
address() {
    case $1 in
        api) echo "the service      http://127.0.0.1:$(or PORT 8000)" ;;
        tracking)
            echo "MLflow           http://127.0.0.1:$(or TRACKING_PORT 5000), treeline, TRACKING_PASSWORD in $shown"
            ;;
        data) echo "MySQL            127.0.0.1:$(or MYSQL_PORT 3306), penguins" ;;
        lab) echo "JupyterLab       http://127.0.0.1:$(or LAB_PORT 8888), LAB_TOKEN in $shown" ;;
        monitoring)
            echo "Prometheus       http://127.0.0.1:$(or PROMETHEUS_PORT 9090)"
            echo "Grafana          http://127.0.0.1:$(or GRAFANA_PORT 3000), admin, GRAFANA_PASSWORD"
            ;;
    esac
}

# Why a replica says that it is not ready, if one runs that says so.
reasons() {
    docker compose --file compose.yaml exec --no-TTY api python -c "$READYZ" 2>/dev/null || true
}

or() {
    local found
    found=$(value "$1")
    echo "${found:-$2}"
}

profiles=()
options=()
for word in "$@"; do
    case $word in -*) options+=("$word") ;; *) profiles+=("$word") ;; esac
done
if [ ${#profiles[@]} = 0 ]; then
    IFS=', ' read -ra profiles <<<"$(or COMPOSE_PROFILES api)"
fi

wrong=0
for profile in "${profiles[@]}"; do
    if [[ " $ALL " != *" $profile "* ]]; then
        echo "$profile is no profile; there are: $ALL" >&2
        wrong=1
    fi
    for name in $(secrets "$profile"); do
        if [ -z "$(value "$name")" ]; then
            echo "$shown: $name: empty, and $profile needs it; deploy/secrets.sh fills it in" >&2
            wrong=1
        fi
    done
done
[ $wrong = 0 ] || exit 1

# Git has the contract of each model, DVC what answers: an image without it would never be ready.
absent() {
    local signature
    for signature in ../model/*/signature.json; do
        [ ! -e "$signature" ] || [ -n "$(ls -A "${signature%/*}/artifact" 2>/dev/null)" ] ||
            basename "${signature%/*}"
    done
}

if [[ " ${profiles[*]} " == *" api "* ]] && [ -z "$(value IMAGE)" ]; then
    missing=$(absent)
    if [ -n "$missing" ]; then
        echo "Of these models the contract is here, and nothing that answers: ${missing//$'\n'/, }" >&2
        echo "\`make pull\` fetches them where a remote is shared, \`make repro\` trains them;" \
            "\`make forget MODEL=NAME\` removes one that is not wanted." >&2
        exit 1
    fi
fi

# The lab reads the checkout as the one who owns it; never as root.
if [ -z "$(value LAB_UID)" ]; then
    read -r _ _ LAB_UID LAB_GID _ < <(ls -nd ..)
    if [ "$LAB_UID" = 0 ]; then
        LAB_UID=10001 LAB_GID=10001
    fi
    export LAB_UID LAB_GID
fi

[ -n "$(value IMAGE)" ] || options+=(--build)
COMPOSE_PROFILES=$(IFS=,; echo "${profiles[*]}")
export COMPOSE_PROFILES
if ! docker compose --file compose.yaml up --detach --wait ${options[@]+"${options[@]}"}; then
    docker compose --file compose.yaml ps --all --format '{{.Service}} {{.State}} {{.Health}}' |
        while read -r service state health; do
            [ "$state $health" = "running healthy" ] || [ "$state $health" = "running " ] ||
                docker compose --file compose.yaml logs --tail 5 "$service" >&2
        done
    reasons >&2
    exit 1
fi
for profile in "${profiles[@]}"; do
    address "$profile"
done
