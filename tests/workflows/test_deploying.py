"""From a push to a redeployed endpoint, and every way in which a deployment may fail."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from tests import koyeb
from tests.checkout import ROOT
from tests.container.test_image import docker
from tests.github.events import Event
from tests.github.run import Run
from tests.github.settings import Environment
from tests.images import REGISTRY, need_docker, need_registry
from tests.signed import key_pair
from tests.workflows.runner import WITHOUT_TESTS, Forge
from treeline.signing import (
    IMAGE,
    IMAGE_STATEMENT_FILE,
    RELEASE,
    STATEMENT_FILE,
    verifying_function,
)

KEY = key_pair()
PRODUCTION = Environment(secrets={"KOYEB_TOKEN": koyeb.TOKEN}, review="approve")
SHIP, DEPLOY = "Build the image, check it, push it", "Deploy it, ask it, or take it back"
WITHOUT_DOCUMENTS = WITHOUT_TESTS[WITHOUT_TESTS.index("check") :].replace(
    "check coverage test test-documents test-models test-wheel", "coverage test-documents"
)
TESTED_BY = (
    "calling.py", "conftest.py", "checkout.py", "real_data.py", "serving.py", "tiny_models.py",
    "waiting.py", "warm.py", "api/conftest.py", "api/test_exported.py", "api/test_system.py",
    "api/test_wheel.py",
)  # fmt: skip


@dataclass(frozen=True)
class Production:
    """A forge, the Koyeb that it deploys to, and the image that it deploys."""

    forge: Forge
    koyeb: koyeb.Running
    image: str
    runs: tuple[Run, ...] = ()

    @property
    def serving(self) -> str:
        """The version of the model that the endpoint predicts with."""
        signature = json.loads((self.forge.clone.root / "model/sugar/signature.json").read_text())
        record = json.dumps(signature["example"]["record"]).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"{self.koyeb.endpoint}/v1/predict", record, headers)) as answer:
            return str(json.load(answer)["version"])

    @property
    def in_service(self) -> dict[str, Any]:
        """What the last record of a deployment says."""
        record: dict[str, Any] = json.loads(self.forge.git("show", "deployed:deployed.json"))
        return record

    def after_a_training(self) -> Event:
        """Return the event of a training that went well and changed nothing."""
        return self.forge.github.completed("Continuous Training")

    def tagged(self, commit: str) -> str:
        return f"{self.image}:sha-{commit}"


@pytest.fixture(scope="module")
def production(start: Forge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """Push a changed parameter to a repository with everything set up, its own tests included."""
    need_docker()
    need_registry()
    forge = start.copied(tmp_path_factory.mktemp("production") / "all")
    image = f"{REGISTRY}/acme/toy-{uuid4().hex[:8]}"
    with koyeb.real() as running:
        forge.settings.environments = {"production": PRODUCTION}
        forge.variables = {
            "IMAGE": image,
            "KOYEB_SERVICE": koyeb.SERVICE,
            "KOYEB_API": running.url,
            "ENDPOINT_URL": running.endpoint,
        }
        forge.settings.secrets["SIGNING_KEY"] = KEY.private
        _with_tests(forge)
        forge.clone.change("alpha: 0.1", "alpha: 0.2")
        forge.push("Regularise more")
        runs = forge.pushed("train.yml", chain=True)
        yield Production(forge, running, image, tuple(runs))
    for name in docker("images", "--format", "{{.Repository}}:{{.Tag}}", image).split():
        docker("rmi", "--force", name)


@pytest.fixture
def later(production: Production, tmp_path: Path) -> Production:
    """Return a copy of the forge some time later, over the same Koyeb and the same registry."""
    forge = production.forge.copied(tmp_path / "all")
    forge.settings.environments = {"production": PRODUCTION}
    forge.variables = dict(production.forge.variables)
    forge.clone.run("git", "fetch", "--quiet", "origin")
    forge.clone.run("git", "reset", "--quiet", "--hard", "origin/main")
    forge.clone.run("git", "clean", "--quiet", "--force")
    (forge.clone.root / "GNUmakefile").write_text(WITHOUT_TESTS)
    return Production(forge, production.koyeb, production.image)


def _with_tests(forge: Forge) -> None:
    """Give the repository tests of its own, and let them run."""
    (forge.clone.root / "GNUmakefile").write_text(WITHOUT_DOCUMENTS)
    for name in TESTED_BY:
        target = forge.clone.root / "tests" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "tests" / name, target)


def version(forge: Forge, revision: str) -> str:
    signature = json.loads(forge.git("show", f"{revision}:model/sugar/signature.json"))
    return str(signature["version"])


def test_a_push_ends_in_an_endpoint_that_predicts_with_the_new_model(
    production: Production,
) -> None:
    forge = production.forge
    told = "\n".join(run.log for run in production.runs)
    assert [run.conclusion for run in production.runs] == ["success", "success"], told
    assert production.koyeb.images() == [production.in_service["image"]]
    assert production.serving == version(forge, "main") != version(forge, "main^")


@pytest.mark.parametrize(
    ("branch", "file", "about"),
    [("released", STATEMENT_FILE, RELEASE), ("deployed", IMAGE_STATEMENT_FILE, IMAGE)],
)
def test_the_release_and_its_image_are_signed(
    production: Production, branch: str, file: str, about: str
) -> None:
    git = production.forge.git
    verify = verifying_function(place="a test")
    envelope = git("show", f"{branch}:{file}").encode()
    statement = verify(envelope, KEY.public, place=branch, now=datetime.now(UTC))
    record = json.loads(git("show", f"{branch}:{branch}.json"))
    assert statement.about == about
    assert statement.content["commit"] == record["commit"] == production.forge.main
    if about == IMAGE:
        name, _, digest = record["image"].partition("@sha256:")
        assert statement.digests == {name: digest}


def test_the_image_holds_the_statement_and_serves_whom_it_trusts(production: Production) -> None:
    program = (
        "from treeline.signing.trust import TrustedModels as T; from pathlib import Path; "
        + (
            "from treeline.files import digest; import sys; name = 'sugar/signature.json'; "
            "T.of(sys.argv[1]).admit(Path('model'), {name: digest(Path('model') / name)})"
        )
    )
    image = production.tagged(production.forge.main)
    docker("run", "--rm", "--network", "none", image, "python", "-c", program, KEY.public)


def test_the_tests_the_checks_and_the_wheel_came_first(production: Production) -> None:
    log = production.runs[0].log
    jobs = production.runs[0].jobs
    assert jobs["test"]["result"] == "success"
    assert "types (mypy)" in log and "workflows (actionlint)" in log
    assert {"> make test", "> make test-wheel"} <= {line.strip() for line in log.splitlines()}
    assert re.search(r"= \d+ passed in ", log), "the wheel is asked of every model: none is skipped"


def test_the_image_is_tagged_by_commit_and_as_the_latest_good_one(production: Production) -> None:
    names = [production.tagged(production.forge.main), f"{production.image}:latest"]
    assert len({docker("image", "inspect", "-f", "{{.Id}}", name) for name in names}) == 1
    with urlopen(f"http://{REGISTRY}/v2/{production.image.partition('/')[2]}/tags/list") as answer:
        assert {f"{production.image}:{tag}" for tag in json.load(answer)["tags"]} == set(names)


def test_when_all_is_in_service_nobody_is_asked_and_nothing_is_built_or_recorded(
    later: Production,
) -> None:
    before, store = later.koyeb.images(), later.forge.store
    asked, recorded = len(store.approvals), len(store.deployments)
    [run] = later.forge.deliver("deploy.yml", later.after_a_training())
    assert run.conclusion == "success" and run.jobs["deploy"]["result"] == "skipped"
    assert "there is nothing to deploy" in run.log
    assert (len(store.approvals), len(store.deployments)) == (asked, recorded)
    assert later.koyeb.images() == before


def test_an_image_that_fails_its_check_is_not_pushed_and_the_old_one_stays(
    later: Production,
) -> None:
    before, serving = later.koyeb.images(), later.serving
    script = later.forge.clone.root / "initializer.sh"
    script.write_text(
        script.read_text().replace("exec gunicorn", "echo broken; exit 7; exec gunicorn")
    )
    later.forge.push("Break the start")
    runs = later.forge.pushed("train.yml", chain=True)
    assert [run.conclusion for run in runs] == ["success", "failure"]
    assert runs[1].step(SHIP) == "failure" and runs[1].step(DEPLOY) == "skipped"
    assert "failed its check" in runs[1].log and "broken" in runs[1].log
    assert later.koyeb.images() == before
    assert later.serving == serving


def test_a_deployment_that_is_not_healthy_is_rolled_back(later: Production) -> None:
    image = later.in_service["image"]
    with koyeb.scripted({image: ["STARTING", "UNHEALTHY"]}) as sick:
        sick.ran_before("acme/toy:good")
        later.forge.variables |= {"KOYEB_API": sick.url}
        del later.forge.variables["ENDPOINT_URL"]
        [run] = later.forge.press("deploy.yml", {"version": later.in_service["commit"]})
        assert run.conclusion == "failure"
        assert sick.images() == ["acme/toy:good", image, "acme/toy:good"]
        assert sick.active is not None and sick.active.image == "acme/toy:good"
    assert "UNHEALTHY" in run.summary and "acme/toy:good" in run.summary


def test_the_button_rolls_back_to_the_version_of_a_model_and_forward_again(
    later: Production,
) -> None:
    old = version(later.forge, "main^")
    [run] = later.forge.press("deploy.yml", {"version": old})
    assert run.conclusion == "success"
    assert later.serving == old
    new = version(later.forge, "main")
    [run] = later.forge.press("deploy.yml", {"version": new})
    assert run.conclusion == "success"
    assert later.serving == new


def test_it_speaks_to_koyeb_at_its_own_address(later: Production) -> None:
    forge = with_only(later, "IMAGE", "KOYEB_SERVICE")
    forge.settings.hosts = {"app.koyeb.com": later.koyeb.url}
    before, record = len(later.koyeb.images()), later.in_service
    [run] = forge.press("deploy.yml", {"version": record["commit"]})
    assert run.conclusion == "success"
    assert later.koyeb.images()[before:] == [record["image"]]
    assert "ENDPOINT_URL is not set" in run.log


def test_without_a_registry_there_is_nothing_to_deploy(later: Production) -> None:
    forge = with_only(later)
    before = len(forge.store.deployments)
    [run] = forge.press("deploy.yml")
    assert run.conclusion == "success" and run.jobs["deploy"]["result"] == "skipped"
    assert "IMAGE is not set" in run.log and len(forge.store.deployments) == before


def with_only(later: Production, *names: str) -> Forge:
    """Return the forge with only these of its variables set."""
    variables = later.forge.variables
    later.forge.variables = {name: variables[name] for name in names}
    return later.forge
