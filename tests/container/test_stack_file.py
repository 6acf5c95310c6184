"""The stack as files: what deploy/compose.yaml declares, and what its scripts refuse."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.serving import ROOT

DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
EXAMPLE = (DEPLOY / "example.env").read_text(encoding="utf-8")
DECLARED = YAML(typ="safe").load(TEXT)
SERVICES: dict[str, dict[str, Any]] = DECLARED["services"]
NETWORKS: dict[str, dict[str, Any]] = DECLARED["networks"]
PROFILES = ["api", "postgres", "tracking", "data", "lab", "monitoring"]
SECRETS = re.findall(r"^(\w+_(?:PASSWORD|SECRET_KEY|TOKEN))=(.*)$", EXAMPLE, re.MULTILINE)
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEYS")

each_service = pytest.mark.parametrize("name", SERVICES)


@each_service
def test_a_service_belongs_to_one_profile(name: str) -> None:
    assert [profile in PROFILES for profile in SERVICES[name]["profiles"]] == [True]


@each_service
def test_a_service_has_a_health_check_or_says_why_not(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        file = ROOT / service["build"].get("dockerfile", "Dockerfile")
        assert "\nHEALTHCHECK" in file.read_text(encoding="utf-8")
    else:
        assert "healthcheck" in service or f"# No health check: {name}" in TEXT


@each_service
def test_a_service_meets_only_this_machine(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert all(port.startswith(("127.0.0.1:", "${BIND:-127.0.0.1}:")) for port in ports)


@each_service
def test_a_service_may_not_do_what_it_need_not(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@each_service
@pytest.mark.parametrize("limit", ["mem_limit", "pids_limit", "cpu_quota"])
def test_a_service_has_limits(name: str, limit: str) -> None:
    assert SERVICES[name][limit]
    assert SERVICES[name]["cpu_period"] == 100_000


def test_only_the_balancer_and_its_replicas_are_in_the_network_that_is_trusted() -> None:
    inside = {name for name, service in SERVICES.items() if "front" in service.get("networks", [])}
    subnet = NETWORKS["front"]["ipam"]["config"][0]["subnet"]
    assert inside == {"balancer", "api"}
    assert SERVICES["api"]["environment"]["FORWARDED_ALLOW_IPS"] == subnet


@each_service
def test_a_secret_of_a_service_is_nobodys_but_the_settings(name: str) -> None:
    given = SERVICES[name].get("environment", {})
    held = {key: value for key, value in given.items() if SECRET.search(key)}
    assert all(re.fullmatch(r"\$\{[A-Z0-9_]+:-\}", value) for value in held.values())


def test_the_example_holds_no_secret() -> None:
    assert len(SECRETS) == 10
    assert {value for _, value in SECRETS} == {""}


def test_git_does_not_see_the_settings() -> None:
    asked = subprocess.run(["git", "check-ignore", "deploy/.env"], cwd=ROOT, check=False)
    if asked.returncode == 128:
        pytest.skip("no git repository here")
    assert asked.returncode == 0


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the scripts and the example, and no settings in the environment."""
    for name in [*(name for name, _ in SECRETS), "COMPOSE_PROFILES", "COMPOSE_ENV_FILES"]:
        monkeypatch.delenv(name, raising=False)
    for name in ("secrets.sh", "up.sh", "example.env"):
        shutil.copy(DEPLOY / name, tmp_path / name)
    return tmp_path


def run(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *words], capture_output=True, text=True, env=dict(os.environ), check=False
    )


def settings(folder: Path) -> dict[str, str]:
    lines = (folder / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]", line))


def test_each_secret_is_made_for_this_machine_alone(scripts: Path) -> None:
    assert run(scripts / "secrets.sh").returncode == 0
    made = [settings(scripts)[name] for name, _ in SECRETS]
    assert len(set(made)) == len(SECRETS)
    assert all(re.fullmatch(r"[0-9a-f]{48}", secret) for secret in made)
    assert (scripts / ".env").stat().st_mode & 0o077 == 0


def test_what_is_set_stays_and_what_is_missing_is_added(scripts: Path) -> None:
    (scripts / ".env").write_text("PORT=1\nLAB_TOKEN=mine\nGRAFANA_PASSWORD=")
    told = run(scripts / "secrets.sh").stdout
    found = settings(scripts)
    assert (found["PORT"], found["LAB_TOKEN"]) == ("1", "mine")
    assert "LAB_TOKEN" not in told
    assert all(found[name] for name, _ in SECRETS)


@pytest.mark.parametrize("profile", [each for each in PROFILES if each != "api"])
def test_a_profile_with_an_empty_secret_is_refused_in_words(scripts: Path, profile: str) -> None:
    shutil.copy(scripts / "example.env", scripts / ".env")
    told = run(scripts / "up.sh", profile)
    said = rf"deploy/\.env: \w+: empty, and {profile} needs it; deploy/secrets.sh fills it in"
    assert told.returncode == 1
    assert re.fullmatch(rf"({said}\n)+", told.stderr)


def test_a_checkout_without_its_models_is_told_how_to_get_them(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns(".env"))
    for name in ("iris", "wine", "trained"):
        (tmp_path / "model" / name).mkdir(parents=True)
        (tmp_path / "model" / name / "signature.json").touch()
    (tmp_path / "model" / "trained" / "artifact").mkdir()
    (tmp_path / "model" / "trained" / "artifact" / "model.onnx").touch()
    environment = {key: value for key, value in os.environ.items() if key != "IMAGE"}
    told = subprocess.run(
        [tmp_path / "deploy" / "up.sh", "api"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert told.returncode == 1
    assert "nothing that answers: iris, wine\n" in told.stderr
    assert all(
        way in told.stderr for way in ("`make pull`", "`make repro`", "`make forget MODEL=NAME`")
    )


def test_the_lab_cannot_write_what_the_operator_runs() -> None:
    mounts = [each for each in SERVICES["lab"]["volumes"] if each.startswith((".", "/"))]
    assert "..:/checkout:ro" in mounts
    assert all(mount.endswith(":ro") for mount in mounts)


def test_mlflow_asks_who_it_is_and_only_the_operator_may_all() -> None:
    asked = (DEPLOY / "tracking" / "Dockerfile").read_text(encoding="utf-8")
    assert '"--app-name", "basic-auth"' in asked
    users = {
        name: SERVICES[name]["environment"]["MLFLOW_TRACKING_PASSWORD"] for name in ("api", "lab")
    }
    assert users == {
        "api": "${SERVICE_TRACKING_PASSWORD:-}",
        "lab": "${LAB_TRACKING_PASSWORD:-}",
    }


def test_a_profile_that_does_not_exist_is_refused_with_those_that_do(scripts: Path) -> None:
    told = run(scripts / "up.sh", "spark")
    assert told.returncode == 1
    assert told.stderr == f"spark is no profile; there are: {' '.join(PROFILES)}\n"
