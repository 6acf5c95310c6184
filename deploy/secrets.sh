#!/usr/bin/env bash
# Writes deploy/.env from example.env where there is none, and gives each secret in it that is
# empty a random value: letters and digits, which fit into a URL. Whatever is set stays as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
umask 077
file=${COMPOSE_ENV_FILES:-.env}

[ -e "$file" ] || cp example.env "$file"
draft=$(mktemp "$file.XXXXXX")
trap 'rm -f "$draft"' EXIT
filled=()
cp "$file" "$draft"
while read -r name; do
    if grep -qE "^$name=.+" "$draft"; then
        continue
    fi
    secret=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    if grep -q "^$name=" "$draft"; then
        sed "s/^$name=$/$name=$secret/" "$draft" >"$draft.next" && mv "$draft.next" "$draft"
    else
        printf '\n%s=%s\n' "$name" "$secret" >>"$draft"
    fi
    filled+=("$name")
done < <(sed -nE 's/^([A-Z0-9_]+_(PASSWORD|SECRET_KEY|TOKEN))=$/\1/p' example.env)
mv "$draft" "$file"
echo "${#filled[@]} secrets filled in${filled[*]:+: ${filled[*]}}"
