#!/usr/bin/env bash
# Installs the agent on a machine with Debian 12, Ubuntu 24.04 or later, as root; run it again to
# bring the agent up to date. Settings that are there stay as they are.
#   deploy/home/install.sh registry/owner/name:latest                     with Docker
#   HOST=podman deploy/home/install.sh …      HOST=environment …          with Podman; without containers
#   SCHEDULE=cron deploy/home/install.sh …                                by cron instead of a timer
# It needs, from a checkout: deploy/home, deploy/haproxy, requirements, and a wheel in build/dist
# (`make package`), or pyproject.toml, src and api.
set -euo pipefail
[ $# = 1 ] || { sed -n '2,8s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
image=$1 host=${HOST:-docker} schedule=${SCHEDULE:-timer}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=deploy/home there=/opt/treeline settings=/etc/treeline units=/etc/systemd/system

[ "$(id -u)" = 0 ] || { echo "Run it as root: it writes below $settings, $there and $units." >&2; exit 1; }
needed=(haproxy python3)
[ "$host" = environment ] || needed+=("$host")
for command in "${needed[@]}"; do
    command -v "$command" >/dev/null || missing+=" $command"
done
if [ -n "${missing:-}" ]; then
    echo "Not installed:$missing. On Debian: apt-get install haproxy python3-venv, and docker.io or podman" >&2
    exit 1
fi

# The one that is there goes on until the new one is whole: the name is moved in one step.
new=$there-$(date +%Y%m%d%H%M%S)
echo "Installing the agent into $new"
trap '[ "$(readlink "$there")" = "$new" ] || rm -rf "$new"' EXIT
python3 -m venv "$new"
pip=("$new/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" --no-deps --only-binary :all: --require-hashes --requirement requirements/signing.txt
wheel=$(find build -path 'build/dist/treeline-*.whl' 2>/dev/null | sort -V | tail -n 1 || true)
if [ -n "$wheel" ]; then
    "${pip[@]}" --no-deps --no-index "$wheel"
else
    "${pip[@]}" --no-deps --only-binary :all: --require-hashes --requirement requirements/build.txt
    "${pip[@]}" --no-deps --no-build-isolation --no-index .
fi
former=$(readlink "$there" || true)
ln -sfn "$new" "$there.next"
mv -T "$there.next" "$there"
[ -z "$former" ] || rm -rf "$former"

install -d -m 755 "$settings"
install -m 644 deploy/haproxy/haproxy.cfg "$settings/haproxy.cfg"
[ -e "$settings/agent.toml" ] ||
    sed "s#@IMAGE@#$image#; s#@HOST@#$host#" "$here/agent.toml" | install -m 600 /dev/stdin "$settings/agent.toml"
[ -e "$settings/service.env" ] || install -m 600 "$here/service.env" "$settings/service.env"
if [ "$host" = environment ]; then
    id treeline >/dev/null 2>&1 || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin treeline
    install -m 644 "$here/treeline-slot@.service" "$units/"
fi
install -m 644 "$here/treeline-agent.service" "$here/treeline-agent.timer" "$here/treeline-front.service" "$units/"
systemctl daemon-reload
systemctl enable --quiet treeline-front.service
if [ "$schedule" = cron ]; then
    systemctl disable --quiet --now treeline-agent.timer
    install -m 644 "$here/treeline.cron" /etc/cron.d/treeline
else
    rm -f /etc/cron.d/treeline
    systemctl enable --quiet --now treeline-agent.timer
fi
"$there/bin/treeline" agent status
echo "Settings: $settings/agent.toml. What it does: journalctl -fu treeline-agent"
