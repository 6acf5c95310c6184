"""How the registries of GitHub and Docker answer where there is no image: status, body. Pure.

Codes and bodies are those of the OCI distribution specification, and of what both add to it.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

GHCR, HUB, HUB_TOKENS = "ghcr.io", "registry-1.docker.io", "auth.docker.io"
HOSTS = (GHCR, HUB, HUB_TOKENS)
REALMS = {GHCR: (GHCR, GHCR), HUB: (HUB_TOKENS, "registry.docker.io")}

of_manifest = re.compile(r"/v2/(?P<name>.+)/(manifests|tags)/(?P<reference>[^/]+)")


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def answer(host: str, path: str, *, authorized: bool, pushed: frozenset[str]) -> Answer:
    """Answer a request for a manifest; `pushed` are the repositories that were ever pushed to."""
    if path.rstrip("/") in {"/token", "/v2/token"}:
        return _token(host, authorized=authorized)
    if not authorized:
        realm, service = REALMS[host]
        challenge = f'Bearer realm="https://{realm}/token",service="{service}"'
        return _error(401, "UNAUTHORIZED", "authentication required", challenge=challenge)
    found = of_manifest.fullmatch(path)
    return _absent(host, found, pushed=pushed) if found else Answer(200, b"{}")


def _absent(host: str, found: re.Match[str], *, pushed: frozenset[str]) -> Answer:
    if found["name"] in pushed:
        tag = f"unknown tag={found['reference']}"
        return _error(404, "MANIFEST_UNKNOWN", "manifest unknown", detail=tag)
    if host == GHCR:
        return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
    scope = [{"Type": "repository", "Class": "", "Name": found["name"], "Action": "pull"}]
    return _error(401, "UNAUTHORIZED", "authentication required", detail=scope)


def _token(host: str, *, authorized: bool) -> Answer:
    if authorized or host != GHCR:  # the Hub gives anybody a token, which may do nothing
        return Answer(200, json.dumps({"token": "anonymous"}).encode())
    return _error(403, "DENIED", "requested access to the resource is denied")


def _error(
    status: int, code: str, message: str, *, detail: Any = None, challenge: str = ""
) -> Answer:
    error = {"code": code, "message": message, **({"detail": detail} if detail else {})}
    headers = (("WWW-Authenticate", challenge),) if challenge else ()
    return Answer(status, json.dumps({"errors": [error]}).encode(), headers)
