"""An image is built, checked and sent once, by a builder for each platform; then its digest counts.

The engine is a stand-in that notes what it is asked: no builder in a container can be had without
a registry of images. The service that it gives the port of is a real one.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import commit_all
from tests.serving import ROOT, serving
from tests.tiny_models import IRIS, write_model
from treeline.commands.deploy import deploy_release
from treeline.commands.ship import ship
from treeline.deployment import images
from treeline.deployment.images import Builder, publish_as
from treeline.errors import DeploymentError

ENGINE = """\
#!{python}
import json, sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(json.dumps(words) + "\\n")
if words[:2] == ["manifest", "inspect"] and {held!r} not in words:
    sys.exit("in whatever words")
if words[:2] == ["image", "inspect"]:
    print(json.dumps({digests!r}))
if "--metadata-file" in words:
    with open(words[words.index("--metadata-file") + 1], "w") as outcome:
        json.dump({{"containerimage.digest": "sha256:" + "b" * 64}}, outcome)
if words[0] == "port":
    print({address!r})
if words[0] == "inspect":
    print("running")
if words[0] == "run" and {broken!r} in words:
    sys.exit("exec format error")
"""
PLATFORMS = {"BUILDER": "both", "PLATFORMS": "linux/amd64, linux/arm64"}
NAME = "registry.example/acme/toy"
BY_ENGINE, BY_BUILDER = f"{NAME}@sha256:{'e' * 64}", f"{NAME}@sha256:{'b' * 64}"
OTHERS = f"registry.example/another/toy@sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("committed")
    write_model(folder / "model", IRIS)
    commit_all(folder)
    return folder


@pytest.fixture
def checkout(committed: Path, tmp_path: Path) -> Path:
    """A checkout that nothing was shipped from yet."""
    return shutil.copytree(committed, tmp_path / "checkout")


@pytest.fixture(scope="module")
def address(committed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(committed / "model", tmp_path_factory.mktemp("service") / "log") as service:
        yield f"127.0.0.1:{service.port}"


class Engine:
    """What was asked of the engine so far, and the one image that its registry has."""

    def __init__(self, script: Path, log: Path, **words: object) -> None:
        self.log = log
        self._script, self._words = script, words
        self.hold("no image")

    def hold(self, image: str, **more: object) -> None:
        """Have a registry with this image, whoever has pushed it, and with no other."""
        own = {"python": sys.executable, "log": str(self.log), "held": image}
        words = {**own, **self._words, **more}
        self._script.write_text(ENGINE.format(**words))
        self._script.chmod(0o755)

    def commands(self, *begin: str) -> list[list[str]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        commands = [json.loads(line) for line in lines]
        return [words for words in commands if words[: len(begin)] == list(begin)]


@pytest.fixture
def engine(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Engine:
    broken = getattr(request, "param", "no platform")
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    words = {"address": address, "broken": broken, "digests": [OTHERS, BY_ENGINE]}
    return Engine(programs / "docker", tmp_path / "log", **words)


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1] if name in words else ""


def test_each_platform_is_built_and_checked_and_all_are_sent_together_with_what_they_are(
    checkout: Path, engine: Engine
) -> None:
    image = ship(checkout, name=NAME, builder=Builder.from_settings(PLATFORMS))
    built = engine.commands("buildx", "build", "--builder", "both", "--load")
    assert [option(words, "--platform") for words in built] == ["linux/amd64", "linux/arm64"]
    started = engine.commands("run")
    assert [option(words, "--platform") for words in started] == ["linux/amd64", "linux/arm64"]
    (sent,) = [words for words in engine.commands("buildx", "build") if "--push" in words]
    assert option(sent, "--platform") == "linux/amd64,linux/arm64"
    assert {"--sbom=true", "--provenance=mode=max"} <= set(sent)
    assert option(sent, "--tag") == images.release(checkout, name=NAME)
    assert engine.commands("push") == []
    assert image == BY_BUILDER


@pytest.mark.parametrize("engine", ["linux/arm64"], indirect=True)
def test_nothing_is_sent_when_one_platform_does_not_start(checkout: Path, engine: Engine) -> None:
    with pytest.raises(DeploymentError, match="exec format error"):
        ship(checkout, name=NAME, builder=Builder.from_settings(PLATFORMS))
    assert not [words for words in engine.commands("buildx") if "--push" in words]


@pytest.mark.parametrize("platforms", ["", "linux/amd64,linux/arm64"])
def test_an_image_of_the_framework_is_pushed_for_the_platforms_that_are_named(
    engine: Engine, platforms: str
) -> None:
    given = {**os.environ, "BUILDER": "both", "PLATFORMS": platforms}
    words = ["make", "--silent", "push-image", f"IMAGE={NAME}"]
    subprocess.run(words, cwd=ROOT, env=given, check=True, capture_output=True)
    [sent] = engine.commands("buildx", "build")
    assert ("--platform" in sent) == bool(platforms)
    assert option(sent, "--platform") == platforms
    assert option(sent, "--tag") == NAME


def test_another_name_is_for_all_platforms(engine: Engine) -> None:
    publish_as(f"{NAME}:sha-1", f"{NAME}:latest", builder=Builder("both"))
    expected = ["buildx", "imagetools", "create", "--tag", f"{NAME}:latest", f"{NAME}:sha-1"]
    assert engine.commands() == [expected]


def test_without_a_builder_the_engine_builds_and_sends(checkout: Path, engine: Engine) -> None:
    image = ship(checkout, name=NAME, builder=Builder.from_settings({"PLATFORMS": "linux/arm64"}))
    tagged = images.release(checkout, name=NAME)
    assert [words[:3] for words in engine.commands("build")] == [["build", "--tag", tagged]]
    assert engine.commands("push") == [["push", "--quiet", tagged]]
    assert engine.commands("buildx") == []
    assert image == BY_ENGINE


@pytest.mark.parametrize(
    ("builder", "digest"), [(Builder(), BY_ENGINE), (Builder("both"), BY_BUILDER)]
)
def test_what_somebody_pushed_under_the_tag_of_the_commit_is_neither_shipped_nor_deployed(
    checkout: Path,
    engine: Engine,
    builder: Builder,
    digest: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A commit is known once it is pushed, and who may write to the registry is faster."""
    tagged = images.release(checkout, name=NAME)
    engine.hold(tagged)
    monkeypatch.setenv("IMAGE", NAME)
    with pytest.raises(DeploymentError, match="make ship"):
        deploy_release(checkout)
    assert ship(checkout, name=NAME, builder=builder) == digest
    assert engine.commands("pull") == []
    assert images.shipped(checkout, name=NAME) == digest
    engine.hold(digest)
    deploy_release(checkout)
    assert engine.commands("pull") == [["pull", "--quiet", digest]]


def test_what_was_shipped_is_checked_again_by_its_digest_and_not_built_twice(
    checkout: Path, engine: Engine
) -> None:
    first = ship(checkout, name=NAME, builder=Builder())
    engine.hold(first)
    assert ship(checkout, name=NAME, builder=Builder()) == first
    assert len(engine.commands("build")) == 1
    assert engine.commands("pull") == [["pull", "--quiet", first]]
    assert engine.commands("run")[-1][-1] == first


def test_what_was_shipped_is_the_image_of_no_other_commit_or_registry(
    checkout: Path, engine: Engine
) -> None:
    ship(checkout, name=NAME, builder=Builder())
    assert images.shipped(checkout, name="registry.example/another/toy") is None
    (checkout / "changed").touch()
    commit_all(checkout)
    assert images.shipped(checkout, name=NAME) is None


def test_an_image_of_docker_hub_is_found_by_its_digest_however_it_is_named(
    tmp_path: Path, engine: Engine
) -> None:
    """Docker leaves out the registry in what it says, Podman does not."""
    digest = f"sha256:{'d' * 64}"
    engine.hold("no image", digests=[f"acme/toy@{digest}"])
    for name in ("acme/toy", "docker.io/acme/toy"):
        assert images.with_digest(f"{name}:sha-1") == f"docker.io/acme/toy@{digest}"
    with pytest.raises(DeploymentError, match="the engine knows no digest of it"):
        images.with_digest("acme/another:sha-1")
