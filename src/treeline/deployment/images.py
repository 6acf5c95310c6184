"""Checkout → serving image: built, checked as it will be run, named, pushed to its registry."""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from treeline import __version__
from treeline.contract.signature import Signature
from treeline.delivery.actions import repository_page
from treeline.delivery.processes import attempt, run
from treeline.delivery.releasing import Entry
from treeline.deployment.acceptance import wait_until_served
from treeline.errors import DeploymentError
from treeline.files import write_json
from treeline.signing import STATEMENT_FILE
from treeline.signing.names import full_name

PORT = 8000  # inside the container
CHECK_SECONDS = 120.0  # a small machine starts the service in ten
EMULATED_SECONDS = 900.0  # one that stands for another processor takes many times as long
RESTRICTIONS = (
    "--read-only",
    *("--tmpfs", "/tmp"),
    *("--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
)
LAST_LINES = 20  # of a container's log
RELEASE = Path("build/release")  # the folder that a release is prepared in
ENTRY = "released.json"  # in it: the entry of the list of releases
SHIPPED = "shipped.json"  # in it: the image of that entry by its digest, once the registry has it
LOCAL = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?/")


def release(folder: Path, *, name: str) -> str:
    """Return what the image of the commit checked out in `folder` is called, its tag included.

    Raises DeploymentError when `name` cannot be the name of an image without a tag, or when
    `folder` is no checkout.
    """
    if name != name.lower():
        raise DeploymentError(
            f"IMAGE: {name!r} has capitals, which no registry takes; set it to {name.lower()!r}"
        )
    if not re.fullmatch(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*", name):
        raise DeploymentError(
            f"IMAGE: {name!r} is no name of an image; give registry/owner/name, without a tag"
        )
    entry = entry_of(folder)
    if entry is None or entry.whole:
        return f"{name}:sha-{commit_of(folder)}"
    # At other times other models may be released at the same commit.
    models = hashlib.sha256(json.dumps(entry.to_dict(), sort_keys=True).encode()).hexdigest()
    return f"{name}:sha-{entry.commit}-{models[:8]}"


def entry_of(folder: Path) -> Entry | None:
    """Return the release that was prepared in a folder, None where it is any other checkout."""
    path = folder / ENTRY
    return Entry.of(json.loads(path.read_text("utf-8"))) if path.is_file() else None


def shipped(folder: Path, *, name: str) -> str | None:
    """Return the image of what is checked out in `folder`, by its digest; None before it has one.

    It is what was pushed as `name` from there, or what a record of a deployment names. A tag says
    nothing: whoever may write to the registry can push another image under it. Raises
    DeploymentError where `release` does.
    """
    tagged, path = release(folder, name=name), folder / SHIPPED
    document = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return document.get("image") if document.get("pushed_as", tagged) == tagged else None


def note_shipped(folder: Path, image: str, *, pushed_as: str = "") -> None:
    """Note the image of a folder, by its digest, for what deploys it.

    `pushed_as` is its name with a tag, where it was pushed from the folder just now: another commit
    there, or another registry, has another image.
    """
    write_json(
        folder / SHIPPED, {"image": image, **({"pushed_as": pushed_as} if pushed_as else {})}
    )


def with_digest(image: str) -> str:
    """Return the full name, with its digest, of an image that the engine has pushed or pulled.

    Raises DeploymentError where the engine knows no digest of it in that repository.
    """
    name = full_name(image.rpartition(":")[0])
    listed = run(
        "docker", "image", "inspect", "--format", "{{json .RepoDigests}}", image,
        error=DeploymentError,
    )  # fmt: skip
    for each in map(full_name, json.loads(listed) or ()):
        if each.startswith(f"{name}@sha256:"):
            return each
    raise DeploymentError(
        f"{image} was pushed, and the engine knows no digest of it, by which it is deployed; push "
        "it with a builder (BUILDER), or with Docker"
    )


def commit_of(folder: Path) -> str:
    """Return the commit checked out in `folder`, in full.

    Raises DeploymentError when `folder` is no checkout, or only a folder inside one.
    """
    command = ("git", "-C", str(folder), "rev-parse", "HEAD", "--show-prefix")
    commit, prefix = run(*command, error=DeploymentError).split("\n")[:2]
    if prefix:
        raise DeploymentError(f"{folder}: a folder inside a checkout; give the checkout itself")
    return commit


def runtime_of(signatures: Sequence[Signature]) -> str:
    """Return what the image must hold to serve these models: `serve`, `pickle` or `h2o`.

    Raises DeploymentError where they need two runtimes that no image has both of.
    """
    needed = sorted({signature.runtime for signature in signatures} - {"onnx"})
    if len(needed) > 1:
        raise DeploymentError(
            f"the models need the runtimes {' and '.join(needed)}, and an image has one of them "
            "beside ONNX; export what you can as ONNX, or ship the models apart"
        )
    return needed[0] if needed else "serve"


@dataclass(frozen=True)
class Builder:
    """What builds images: a builder of buildx for some platforms; without a name, the engine.

    A builder in a container can build for other platforms than this machine's, by emulation, and
    attests what is in an image and how it was built.
    """

    name: str = ""
    platforms: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> "Builder":
        """Return the builder that BUILDER names, and what PLATFORMS lists: `linux/amd64,…`."""
        platforms = settings.get("PLATFORMS", "").replace(" ", "").split(",")
        return cls(settings.get("BUILDER", "").strip(), tuple(filter(None, platforms)))


@dataclass(frozen=True)
class Recipe:
    """What an image is built from: a folder with a Dockerfile, its commit, and what it serves."""

    context: Path
    revision: str
    runtime: str = "serve"

    def options(self) -> list[str]:
        """Return the arguments of the build.

        In a workflow a label names the repository, by which ghcr.io links the package to it. What
        verifies signatures is in the image where the release is signed.
        """
        signed = (self.context / "model" / STATEMENT_FILE).is_file()
        arguments = {
            "RUNTIME": self.runtime,
            "VERSION": __version__,
            "REVISION": self.revision,
            "SOURCE": repository_page(),
            "SIGNING": "yes" if signed else "",
        }
        return [word for pair in arguments.items() for word in ("--build-arg", "=".join(pair))]


def build(recipe: Recipe, image: str, *, builder: Builder, platform: str = "") -> None:
    """Build an image for one platform, this machine's by default, and load it into the engine.

    Raises DeploymentError.
    """
    chosen = ("--platform", platform) if platform else ()
    how = ("buildx", "build", "--builder", builder.name, "--load") if builder.name else ("build",)
    options = (*chosen, *recipe.options(), str(recipe.context))
    run("docker", *how, "--tag", image, *options, error=DeploymentError)


def publish(recipe: Recipe, image: str, *, builder: Builder) -> str:
    """Send an image that was built to the registry in its name; return that with its digest.

    The digest is that of what was sent, and nothing that the registry says. Raises DeploymentError.
    A builder sends all of its platforms under the one name, taking what it built before, with the
    list of what is in them (SBOM) and how they were built (provenance).
    """
    if not builder.name:
        push(image)
        return with_digest(image)
    platforms = ("--platform", ",".join(builder.platforms)) if builder.platforms else ()
    attests = ("--sbom=true", "--provenance=mode=max")
    with tempfile.TemporaryDirectory() as folder:
        outcome = Path(folder) / "pushed.json"
        run(
            "docker", "buildx", "build", "--builder", builder.name, *platforms, *attests, "--push",
            "--metadata-file", str(outcome), "--tag", image, *recipe.options(), str(recipe.context),
            error=DeploymentError,
        )  # fmt: skip
        digest = json.loads(outcome.read_text("utf-8")).get("containerimage.digest")
    if digest is None:
        raise DeploymentError(
            f"{image} was pushed, and {builder.name} says no digest; update buildx"
        )
    return f"{full_name(image.rpartition(':')[0])}@{digest}"


def publish_as(image: str, other: str, *, builder: Builder) -> None:
    """Give a published image another name in its registry; raises DeploymentError."""
    if builder.name:  # the engine has one of its platforms only
        command = ("docker", "buildx", "imagetools", "create", "--tag", other, image)
        run(*command, error=DeploymentError)
        return
    run("docker", "tag", image, other, error=DeploymentError)
    push(other)


def check(
    image: str,
    signatures: Sequence[Signature],
    *,
    seconds: float = CHECK_SECONDS,
    platform: str = "",
) -> None:
    """Run an image as it will be run, and wait until it serves exactly the signatures.

    The container is always removed. Raises DeploymentError with the complaints and the end of the
    container's log when it does not within `seconds`, or ends.
    """
    with _container(image, runtime=runtime_of(signatures), platform=platform) as container:
        try:
            wait_until_served(
                _address(container),
                signatures,
                seconds=seconds,
                ended=lambda: _state(container) != "running",
            )
        except DeploymentError as error:
            raise DeploymentError(
                f"{image} failed its check: {error}\nThe container's last words:\n"
                + _last_words(container)
            ) from error


def absence(image: str) -> str:
    """Return why an image cannot be had from its registry; empty where it can.

    Registries say in many ways that they have none, and many deny a repository nobody has pushed
    to yet. So whatever is said, it is not there; where it is the rights that lack, or the registry
    is away, the push that follows says so.
    """
    plain = ["--insecure"] if LOCAL.match(image) else []  # a local registry speaks plain HTTP
    done = attempt("docker", "manifest", "inspect", *plain, image, error=DeploymentError)
    return (done.stderr.strip() or "it has none") if done.returncode else ""


def exists(image: str) -> bool:
    """Tell whether an image can be had from its registry."""
    return not absence(image)


def push(image: str) -> None:
    """Send an image to the registry in its name; raises DeploymentError."""
    run("docker", "push", "--quiet", image, error=DeploymentError)


def pull(image: str) -> None:
    """Fetch an image from the registry in its name; raises DeploymentError."""
    run("docker", "pull", "--quiet", image, error=DeploymentError)


@contextmanager
def _container(image: str, *, runtime: str, platform: str) -> Iterator[str]:
    """Start an image and yield the name of its container, which is removed afterwards."""
    name = f"treeline-check-{uuid4().hex}"
    published = ("--publish", f"127.0.0.1::{PORT}", "--env", f"PORT={PORT}")
    admitted = () if runtime == "serve" else ("--env", f"API_ALLOW_{runtime.upper()}=1")
    chosen = ("--platform", platform) if platform else ()
    options = ("--detach", "--name", name, *chosen, *RESTRICTIONS, *published, *admitted)
    try:
        run("docker", "run", *options, image, error=DeploymentError)
        yield name
    finally:  # a container that could not be started is there all the same
        attempt("docker", "rm", "--force", "--volumes", name, error=DeploymentError)


def _address(container: str) -> str:
    """Return where the container answers; raises DeploymentError when it has ended."""
    command = ("docker", "port", container, str(PORT))
    published = attempt(*command, error=DeploymentError).stdout.split()
    if not published:
        raise DeploymentError("the container ended at once")
    return f"http://{published[0]}"


def _state(container: str) -> str:
    command = ("docker", "inspect", "--format", "{{.State.Status}}", container)
    return attempt(*command, error=DeploymentError).stdout.strip()


def _last_words(container: str) -> str:
    log = attempt("docker", "logs", "--tail", str(LAST_LINES), container, error=DeploymentError)
    return (log.stdout + log.stderr).strip() or "none"
