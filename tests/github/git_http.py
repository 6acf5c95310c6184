"""A bare repository over git's own HTTP server, with what GitHub refuses when it is pushed to."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.github.settings import Settings, Token
from tests.github.store import Store

SERVED = re.compile(r"/([^/]+/[^/]+?)(\.git)?(/info/refs|/git-upload-pack|/git-receive-pack|/HEAD)")
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

# Refusals are files named by the ref, whose slashes are `%`; what is accepted is written down.
HOOK = """\
#!/bin/sh
while read -r old new ref; do
  refusal="$FAKE_REFUSALS/$(echo "$ref" | tr / %)"
  [ ! -f "$refusal" ] || { cat "$refusal"; exit 1; }
  case $new in 000*) continue;; esac
  case $ref in refs/heads/*)
    base=$(git merge-base "$new" "$FAKE_BRANCH" || echo EMPTY)
    if [ "$FAKE_KIND" = GITHUB_TOKEN ] &&
      [ -n "$(git diff --name-only "$base" "$new" -- .github/workflows)" ]; then
      echo "refusing to allow a GitHub App to create or update workflow without" \
        "workflows permission"
      exit 1
    fi;;
  esac
  echo "$old $new $ref $FAKE_KIND" >>"$FAKE_ACCEPTED"
done
""".replace("EMPTY", EMPTY_TREE)


@dataclass(frozen=True)
class Request:
    """A request for git's server."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def pushes(self) -> bool:
        return "git-receive-pack" in self.path + self.query


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    kind: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()


class Origin:
    """The repository that workflows check out and push to."""

    def __init__(self, path: Path, state: Path, settings: Settings, store: Store) -> None:
        self.path, self.state, self.settings, self.store = path, state, settings, store
        self.accepted = state / "accepted"
        self.refusals = state / "refusals"
        self.refusals.mkdir(parents=True, exist_ok=True)
        hook = state / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(HOOK)
        hook.chmod(0o755)

    def run(self, *words: str, check: bool = True, given: str = "") -> str:
        """Ask git in the repository; `given` is its standard input."""
        command = ["git", "-C", str(self.path), *words]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"git {words}: {done.stderr}"
        return done.stdout.strip()

    def resolve(self, ref: str) -> str:
        return self.run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", check=False)

    def file(self, revision: str, path: str) -> str:
        return self.run("show", f"{revision}:{path}", check=False)

    def answer(self, request: Request, token: Token | None) -> Response:
        """Answer a request of git's, which may be a push, as GitHub does."""
        served = SERVED.fullmatch(request.path)
        if not served or served[1].lower() != self.settings.name.lower():
            return Response(404, b"Repository not found.\n")
        if request.pushes and token and not token.may("write", "contents"):
            denied = f"Permission to {served[1]}.git denied to github-actions[bot].\n"
            return Response(403, denied.encode())
        if request.pushes:
            self._write_refusals(token.kind if token else "")
        done = subprocess.run(
            ["git", "http-backend"],
            input=request.body,
            env=self._environment(request, served[3], token),
            capture_output=True,
            check=False,
        )
        if request.pushes:
            self._note_pushes()
        return _parsed(done.stdout)

    def _write_refusals(self, kind: str) -> None:
        for path in self.refusals.iterdir():
            path.unlink()
        for rule in self.settings.rules:
            ref = f"refs/heads/{rule.branch}"
            if refusal := self.settings.refusal(ref, kind):
                (self.refusals / ref.replace("/", "%")).write_text(refusal + "\n")

    def _note_pushes(self) -> None:
        with self.store.lock:
            text = self.accepted.read_text() if self.accepted.exists() else ""
            rows = [line.split() for line in text.splitlines()]
            self.accepted.unlink(missing_ok=True)
            for old, new, ref, kind in rows:
                if self.resolve(ref) == new or ref.startswith("refs/tags/"):
                    self.store.add("pushes", old=old, new=new, ref=ref, kind=kind)

    def _environment(self, request: Request, path: str, token: Token | None) -> dict[str, str]:
        settings = (
            "http.receivepack=true",
            "uploadpack.allowAnySHA1InWant=true",
            "receive.advertisePushOptions=false",
            "safe.directory=*",
            f"core.hooksPath={self.state / 'hooks'}",
        )
        pairs = [each.split("=", 1) for each in settings]
        return {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.path),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.query,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(request.body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "fake",
            "FAKE_KIND": token.kind if token else "",
            "FAKE_BRANCH": self.settings.branch,
            "FAKE_ACCEPTED": str(self.accepted),
            "FAKE_REFUSALS": str(self.refusals),
            "GIT_CONFIG_COUNT": str(len(pairs)),
            **{f"GIT_CONFIG_KEY_{at}": key for at, (key, _) in enumerate(pairs)},
            **{f"GIT_CONFIG_VALUE_{at}": value for at, (_, value) in enumerate(pairs)},
        }


def _parsed(output: bytes) -> Response:
    head, _, body = output.partition(b"\r\n\r\n")
    lines = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
    headers = {name: value for name, value in lines}
    status = int(headers.pop("Status", "200").split()[0])
    kind = headers.pop("Content-Type", "text/plain")
    headers.pop("Content-Length", None)
    return Response(status, body, kind, tuple(headers.items()))


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()
