"""With a builder of buildx an image is built and checked for each platform, then sent as one.

The engine is a stand-in that notes what it is asked: no builder in a container can be had without
a registry of images. The service that it gives the port of is a real one.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import commit_all
from tests.serving import serving
from tests.tiny_models import IRIS, write_model
from treeline.commands.ship import ship
from treeline.deployment.images import Builder, publish_as
from treeline.errors import DeploymentError

ENGINE = """\
#!{python}
import json, sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(json.dumps(words) + "\\n")
if words[:2] == ["manifest", "inspect"]:
    sys.exit("in whatever words")
if words[0] == "port":
    print({address!r})
if words[0] == "inspect":
    print("running")
if words[0] == "run" and {broken!r} in words:
    sys.exit("exec format error")
"""
PLATFORMS = {"BUILDER": "both", "PLATFORMS": "linux/amd64, linux/arm64"}
NAME = "registry.example/acme/toy"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    write_model(folder / "model", IRIS)
    commit_all(folder)
    return folder


@pytest.fixture(scope="module")
def address(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(checkout / "model", tmp_path_factory.mktemp("service") / "log") as service:
        yield f"127.0.0.1:{service.port}"


class Engine:
    """What was asked of the engine so far."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def commands(self, *begin: str) -> list[list[str]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        commands = [json.loads(line) for line in lines]
        return [words for words in commands if words[: len(begin)] == list(begin)]


@pytest.fixture
def engine(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Engine:
    broken = getattr(request, "param", "no platform")
    log = tmp_path / "log"
    script = tmp_path / "docker"
    script.write_text(
        ENGINE.format(python=sys.executable, log=str(log), address=address, broken=broken)
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Engine(log)


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
    assert option(sent, "--tag") == image
    assert engine.commands("push") == []


@pytest.mark.parametrize("engine", ["linux/arm64"], indirect=True)
def test_nothing_is_sent_when_one_platform_does_not_start(checkout: Path, engine: Engine) -> None:
    with pytest.raises(DeploymentError, match="exec format error"):
        ship(checkout, name=NAME, builder=Builder.from_settings(PLATFORMS))
    assert not [words for words in engine.commands("buildx") if "--push" in words]


def test_another_name_is_for_all_platforms(engine: Engine) -> None:
    publish_as(f"{NAME}:sha-1", f"{NAME}:latest", builder=Builder("both"))
    expected = ["buildx", "imagetools", "create", "--tag", f"{NAME}:latest", f"{NAME}:sha-1"]
    assert engine.commands() == [expected]


def test_without_a_builder_the_engine_builds_and_sends(checkout: Path, engine: Engine) -> None:
    image = ship(checkout, name=NAME, builder=Builder.from_settings({"PLATFORMS": "linux/arm64"}))
    assert [words[:3] for words in engine.commands("build")] == [["build", "--tag", image]]
    assert engine.commands("push") == [["push", "--quiet", image]]
    assert engine.commands("buildx") == []
