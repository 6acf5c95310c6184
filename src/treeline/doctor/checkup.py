"""A checkout and its environment → findings: what is well, what is optional, what is wrong.

What can be known offline comes first; only the last two groups ask anybody.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from treeline.config import read_params
from treeline.config.metrics import metric_for
from treeline.config.models import ModelSpec
from treeline.delivery import locking
from treeline.delivery.processes import attempt
from treeline.delivery.releasing import MAIN
from treeline.deployment import images, targets
from treeline.doctor import settings
from treeline.doctor.finding import Finding, State
from treeline.doctor.hosting import hosting
from treeline.doctor.remotes import answer, is_url, remote
from treeline.errors import ConfigError, DeliveryError, DeploymentError, TreelineError

Variables = Mapping[str, str]

PRIVATE = ".dvc/config.local"
HUB = ("DOCKERHUB_USERNAME", "DOCKERHUB_TOKEN")
TOOLS = {
    "docker": "builds, checks and pushes the image: make image, make ship",
    "gh": "posts reports, and says here what is set on GitHub",
}


def examined(environment: Variables) -> Iterator[tuple[str, list[Finding]]]:
    """Give the findings group by group, each group as soon as it is known.

    A folder that is no repository is not looked at further.
    """
    repository = git()
    yield "git", repository
    if repository[0].state is State.WRONG:
        return
    yield "deployment by hand", deployment(environment, by_hand=True)
    yield "tools", tools()
    yield "models", models()
    yield "DVC, here", state()
    as_set = remote(environment)
    yield "DVC remote, as set", as_set
    if as_set[0].state is State.OK:
        yield "DVC remote, asked", [answer(as_set)]
    yield "GitHub, what the workflows read", github()


def git() -> list[Finding]:
    """Look at the repository, and whether what is private stays out of it."""
    if attempt("git", "rev-parse", "--git-dir").returncode:
        return [Finding(State.WRONG, "repository", "this folder is none", "git clone, or git init")]
    return [_origin(), _branch(), _private()]


def tools() -> list[Finding]:
    """Look which programs are there that something optional needs."""
    return [
        Finding(State.OK, name, "is installed")
        if shutil.which(name)
        else Finding(State.OPTIONAL, name, f"not installed; it {purpose}")
        for name, purpose in TOOLS.items()
    ]


def models() -> list[Finding]:
    """Look whether what is here is what params.yaml declares."""
    place = "params.yaml"
    try:
        declared = read_params().models
    except ConfigError as error:
        return [Finding(State.WRONG, place, str(error).partition("\n")[0], "make params")]
    if (fault := _metric_fault(declared)) is not None:
        return [Finding(State.WRONG, place, fault, "treeline check-class names what to correct")]
    lost = locking.leftovers(declared)
    if lost:
        message = f"{', '.join(lost)}: declared no more; the next training removes what is left"
        return [Finding(State.OPTIONAL, place, message, "to remove it now: make forget")]
    return [Finding(State.OK, place, f"declares {len(declared)}, and nothing else is here")]


def _metric_fault(declared: Mapping[str, ModelSpec]) -> str | None:
    """Say what is wrong with the first metric of one's own that cannot judge its model."""
    for model, spec in declared.items():
        for name in spec.metric_paths:
            try:
                metric_for(spec.target.task, name)
            except TreelineError as error:
                return f"models.{model}: {str(error).partition(chr(10))[0]}"
    return None


def state() -> list[Finding]:
    """Look at what DVC writes for itself and cannot go on without: a killed run may break it."""
    return [_readable(locking.RUNNING, json.loads), _readable(locking.LOCK, YAML(typ="safe").load)]


def _readable(path: Path, read: Callable[[str], object]) -> Finding:
    try:
        whole = not path.exists() or bool(read(path.read_text(encoding="utf-8")) is not None)
    except (OSError, ValueError, YAMLError):
        whole = False
    if whole:
        return Finding(State.OK, str(path), "can be read" if path.exists() else "is not there yet")
    message = "cannot be read, and DVC stops at it: a run was killed while it wrote"
    way_out = f"git checkout {path}" if path == locking.LOCK else f"end every dvc, then rm {path}"
    return Finding(State.WRONG, str(path), message, way_out)


def deployment(environment: Variables, *, by_hand: bool) -> list[Finding]:
    """Look whether what shipping and deploying read fits together.

    Who ships `by_hand` may have logged in to the registry before.
    """
    return [_image(environment, by_hand=by_hand), _target(environment), _endpoint(environment)]


def github() -> list[Finding]:
    """Compare what the workflows read with what is set; without `gh`, list what may be set."""
    readers = settings.readers()
    try:
        there = settings.on_github()
    except DeliveryError as error:
        why = str(error).splitlines()[:2][-1]
        message = f"cannot tell what is set ({why}), only what may be"
        names = [
            Finding(State.OPTIONAL, f"{kind} {name}", settings.purpose(name), _setter(kind, name))
            for kind, name in readers
        ]
        return [Finding(State.OPTIONAL, "gh", message, "gh auth login"), *names]
    named = [_setting(each, there, files) for each, files in readers.items()]
    judged = deployment(there.of_deployment(), by_hand=False)
    wrong = [each for each in judged if each.state is State.WRONG]
    return [*hosting(there.of_deployment()), *named, *wrong]


def _origin() -> Finding:
    if attempt("git", "remote", "get-url", "origin").returncode == 0:
        return Finding(State.OK, "origin", "is set")
    message = "not set: there is nowhere to push"
    return Finding(State.OPTIONAL, "origin", message, "git remote add origin URL")


def _branch() -> Finding:
    branch = attempt("git", "branch", "--show-current").stdout.strip()
    if branch == MAIN:
        return Finding(State.OK, "branch", branch)
    message = f"{branch or 'none'}; only {MAIN} is released and deployed"
    return Finding(State.OPTIONAL, "branch", message)


def _private() -> Finding:
    if attempt("git", "ls-files", "--", PRIVATE).stdout.strip():
        way_out = f"git rm --cached {PRIVATE}, commit, and replace the credentials in it"
        return Finding(State.WRONG, PRIVATE, "is in git", way_out)
    if attempt("git", "check-ignore", "--quiet", PRIVATE).returncode:
        way_out = "add /config.local to .dvc/.gitignore, for it may hold credentials"
        return Finding(State.WRONG, PRIVATE, "is not ignored by git", way_out)
    return Finding(State.OK, PRIVATE, "is ignored by git")


def _image(environment: Variables, *, by_hand: bool) -> Finding:
    name = environment.get("IMAGE", "").strip()
    if not name:
        return Finding(State.OPTIONAL, "IMAGE", "not set: no image is pushed, nothing is deployed")
    if complaint := _malformed(name):
        return Finding(State.WRONG, "IMAGE", complaint)
    registry = name.partition("/")[0]
    if registry == "docker.io" or not re.search(r"[.:]|^localhost$", registry):
        return _on_hub(name, environment, by_hand=by_hand)
    if registry == "ghcr.io":
        return Finding(State.OK, "IMAGE", f"{name}, which the workflow's own token pushes")
    message = f"{name}; deploy.yml logs in to Docker Hub and ghcr.io only"
    return Finding(State.OPTIONAL, "IMAGE", message, f"docker login {registry}")


def _malformed(image: str) -> str:
    """Say why images cannot be called so; nothing when they can."""
    try:
        images.release(Path(), name=image)
    except DeploymentError as error:
        return str(error).removeprefix("IMAGE: ")
    return "" if "/" in image else f"{image!r} has no owner; give owner/name or ghcr.io/owner/name"


def _on_hub(name: str, environment: Variables, *, by_hand: bool) -> Finding:
    lacking = [each for each in HUB if not environment.get(each)]
    if not lacking:
        return Finding(State.OK, "IMAGE", f"{name}, on Docker Hub")
    message = f"{name} is on Docker Hub, and {' and '.join(lacking)} not set"
    if by_hand and len(lacking) == len(HUB):
        return Finding(State.OPTIONAL, "IMAGE", message, "docker login, if that is not done")
    return Finding(State.WRONG, "IMAGE", message, "set both")


def _target(environment: Variables) -> Finding:
    """Look whether the place where images are put in service is set as a whole."""
    try:
        kind, target = targets.chosen(environment)
    except ConfigError as error:
        return Finding(State.WRONG, targets.CHOICE, str(error).removeprefix(f"{targets.CHOICE}: "))
    place, lacking = kind.upper(), targets.lacking(target, environment)
    none = f"{' and '.join(target.REQUIRED)} not set: nothing is deployed"
    if len(lacking) == len(target.REQUIRED):
        wanted = State.WRONG if environment.get(targets.CHOICE) else State.OPTIONAL
        return Finding(wanted, place, none)
    if lacking:
        return Finding(State.WRONG, place, f"{lacking[0]} not set", "set both or neither")
    if not environment.get("IMAGE"):
        return Finding(State.WRONG, place, "a service is set, and no image for it", "set IMAGE")
    return Finding(State.OK, place, "is set")


def _endpoint(environment: Variables) -> Finding:
    url = environment.get("ENDPOINT_URL", "").strip()
    if not url:
        message = "not set: a deployed service is not asked for predictions"
        return Finding(State.OPTIONAL, "ENDPOINT_URL", message)
    if not is_url(url):
        way_out = "give one with its scheme, e.g. https://forest-acme.koyeb.app"
        return Finding(State.WRONG, "ENDPOINT_URL", f"{url!r} is no URL", way_out)
    return Finding(State.OK, "ENDPOINT_URL", url)


def _setter(kind: str, name: str) -> str:
    """Return the line to paste that sets something on GitHub; it asks for a secret's value."""
    return f"gh {kind} set {name}" + ("" if kind == "secret" else ' --body "…"')


def _setting(read: tuple[str, str], there: settings.Settings, files: set[str]) -> Finding:
    """Say whether what workflows read is set where all of them see it."""
    place, name = " ".join(read), read[1]
    if name in there.repository:
        return Finding(State.OK, place, "is set")
    if name not in there.environment:
        message = f"not set; {settings.purpose(name)}"
        return Finding(State.OPTIONAL, place, message, _setter(*read))
    if name == "IMAGE":  # what decides whether to deploy runs before anybody approves of it
        message = f"set for {settings.ENVIRONMENT} only, where nothing decides to deploy"
        return Finding(State.WRONG, place, message, "set it for the repository")
    if blind := sorted(files - {settings.DEPLOYMENT}):
        message = f"set for {settings.ENVIRONMENT} only, which {', '.join(blind)} cannot see"
        return Finding(State.WRONG, place, message, "set it for the repository")
    return Finding(State.OK, place, f"is set for {settings.ENVIRONMENT}")
