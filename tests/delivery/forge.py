"""A bare origin and clones of it with a pipeline that trains in no time, by real git and DVC."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.answering import answering
from tests.checkout import PARAMS as DECLARED
from tests.checkout import Checkout
from tests.tiny_models import DIABETES, IRIS, describe

PARAMS = "".join(
    f"{line}\n    description: '1'\n" if line in {"  flowers:", "  sugar:"} else f"{line}\n"
    for line in DECLARED.splitlines()
)
PIPELINE = """\
stages:
  export:
    foreach: ${models}
    do:
      cmd: python src/treeline/train.py ${key} ${item.description}
      outs:
        - model/${key}/artifact
        - model/${key}/signature.json: {cache: false}
"""
TRAIN = """\
import json, pathlib, sys

model, value = sys.argv[1:]
folder = pathlib.Path("model", model)
(folder / "artifact").mkdir(parents=True, exist_ok=True)
(folder / "artifact" / "model.onnx").write_text(f"{model} {value}")
signature = json.loads(pathlib.Path("src/treeline", model + ".json").read_text())
signature["version"] = f"{model}-{value}"
(folder / "signature.json").write_text(json.dumps(signature, indent=2))
"""
LIST = (
    "from treeline.config import read_params; from treeline.delivery import artifacts;"
    "artifacts.declare(list(read_params().models))"
)
IGNORED = "/build/\n/model/*/artifact/\n"


@dataclass(frozen=True)
class Forge:
    """An origin, a clone that works with it, a clone of somebody else, and a remote for data."""

    root: Path

    @property
    def clone(self) -> Checkout:
        return Checkout(self.root / "clone")

    @property
    def other(self) -> Checkout:
        return Checkout(self.root / "other")

    @property
    def origin(self) -> Path:
        return self.root / "origin.git"

    @property
    def remote(self) -> Path:
        return self.root / "remote"

    def copy(self, target: Path) -> "Forge":
        shutil.copytree(self.root, target, symlinks=True)
        return Forge(target).with_remote()

    def with_remote(self) -> "Forge":
        """Make the remote beside it the clone's own; by its address in full, for DVC's sake."""
        settings = f"[core]\n    remote = shared\n['remote \"shared\"']\n    url = {self.remote}\n"
        (self.clone.root / ".dvc/config.local").write_text(settings)
        return self

    def ask(self, *command: str) -> str:
        """Ask the origin's git."""
        return self.clone.run("git", "-C", str(self.origin), *command).stdout.strip()

    def tip(self, branch: str = "main") -> str:
        return self.ask("rev-parse", branch)

    def branches(self) -> list[str]:
        return self.ask("branch", "--format=%(refname:short)").split()

    def released(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("show", "released:released.json"))
        return found

    def stored(self) -> list[str]:
        """The contents of what the remote holds."""
        files = (path for path in self.remote.rglob("*") if path.is_file())
        return sorted(text for path in files if not (text := path.read_text()).startswith("["))

    def declare(self, model: str, value: int) -> str:
        """Commit and push another declaration of a model; return the commit."""
        path = self.clone.root / "params.yaml"
        path.write_text(declared(path.read_text(), model, value))
        commit = self.clone.commit(f"Declare {model}")
        self.clone.run("git", "push", "--quiet", "origin", "HEAD")
        return commit

    def train(self) -> None:
        """Train, and list the models as publishing does."""
        self.clone.run("dvc", "repro", "--quiet")
        self.clone.python("-c", LIST)

    def somebody_pushes(self, path: str, text: str) -> str:
        """Have another clone push a change of a file to main; return the commit."""
        self.other.run("git", "pull", "--quiet", "--rebase", "origin", "main")
        target = self.other.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        commit = self.other.commit(f"Change {path}")
        self.other.run("git", "push", "--quiet", "origin", "main")
        return commit


def declared(params: str, model: str, value: int) -> str:
    """Return a declaration in which a model has another value, which is its description."""
    return re.sub(rf"(?m)(^  {model}:\n    description: )'\d+'", rf"\g<1>'{value}'", params)


def founded(root: Path) -> Forge:
    """Make an origin, in which both models have been trained; the remote holds nothing yet."""
    forge = Forge(root)
    clone = forge.clone
    for recipe in (replace(IRIS, name="flowers"), replace(DIABETES, name="sugar")):
        signature = describe(recipe, scores=[1.0] * max(1, len(recipe.classes)), payload=b"")
        template = clone.root / f"src/treeline/{recipe.name}.json"
        template.parent.mkdir(parents=True, exist_ok=True)
        template.write_text(signature.document())
    files = {
        "dvc.yaml": PIPELINE,
        "params.yaml": PARAMS,
        ".gitignore": IGNORED,
        "src/treeline/train.py": TRAIN,
        "README.md": "A forest\n",
    }
    for name, text in files.items():
        (clone.root / name).write_text(text)
    clone.run("git", "init", "--quiet", "--initial-branch", "main")
    for name, value in (("name", "A person"), ("email", "person@example.invalid")):
        clone.run("git", "config", f"user.{name}", value)
    clone.run("dvc", "init", "--quiet")
    forge.remote.mkdir()
    forge.with_remote()
    forge.train()
    clone.commit("Train two models")
    clone.run("git", "init", "--quiet", "--bare", "--initial-branch", "main", str(forge.origin))
    clone.run("git", "remote", "add", "origin", "../origin.git")
    clone.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    clone.run("git", "clone", "--quiet", str(forge.origin), str(forge.other.root))
    clone.run("git", "-C", str(forge.other.root), "remote", "set-url", "origin", "../origin.git")
    return forge


class _Git(BaseHTTPRequestHandler):
    """git's own HTTP server, behind a password."""

    root: Path
    authorization: str

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != self.authorization:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            ["git", "-c", "http.receivepack=true", "http-backend"],
            input=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            env={
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type") or "",
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
                "PATH": "/usr/bin:/bin:/usr/local/bin",
            },
            capture_output=True,
            check=True,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def behind_password(root: Path, authorization: str) -> Iterator[str]:
    """Serve the repositories in a folder to whoever sends the header; give the address."""
    with answering(_Git, root=root, authorization=authorization) as url:
        yield url
