"""The stack as it runs: MLflow on PostgreSQL and S3, MySQL, the lab; ended and started again."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest
from ruamel.yaml import YAML

from tests import calling
from tests.container.test_image import docker
from tests.images import knows_containers_by_name, need_docker
from tests.serving import ROOT, free_port

IMAGES = ("postgres:17-alpine", "mysql:8.4", "treeline-tracking", "treeline-lab")
UID = 10001  # the lab's, where the tests run as root
SECONDS = 300  # on a machine at rest it starts in much less
PROMETHEUS = "prom/prometheus:v3.0.0"
pytestmark = knows_containers_by_name

TRACK = """
import sys, mlflow
mlflow.set_experiment("stack")
with mlflow.start_run(run_name=sys.argv[1]) as run:
    mlflow.log_metric("accuracy", 0.97)
    mlflow.log_text("by " + sys.argv[1], "note.txt")
"""
RECALL = """
import json, mlflow
runs = mlflow.search_runs(experiment_names=["stack"], output_format="list")
notes = [mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/note.txt") for run in runs]
print(json.dumps(sorted(notes)))
"""
COUNT = """
import os, sqlalchemy
url = sqlalchemy.make_url(os.environ["DATA_URL"]).set(password=os.environ["TREELINE_SQL_PASSWORD"])
with sqlalchemy.create_engine(url).connect() as connection:
    print(connection.scalar(sqlalchemy.text("SELECT count(*) FROM penguins")))
"""
NAME = """
from mlflow import MlflowClient
MlflowClient().create_registered_model("forest", tags={"by": "operator"})
"""
RENAME = """
from mlflow import MlflowClient
try:
    MlflowClient().set_registered_model_tag("forest", "by", "lab")
except Exception as error:
    print(getattr(error, "error_code", ""), error)
"""
TOUCH = """
try:
    open("/checkout/deploy/up.sh", "a").close()
except OSError as error:
    print(error.strerror)
"""
OBJECTS = """
import boto3, os
client = boto3.client("s3", endpoint_url="http://s3:9000")
print(*[each["Key"] for each in client.list_objects_v2(Bucket="mlflow").get("Contents", [])])
"""


@dataclass(frozen=True)
class Stack:
    """A checkout whose stack runs, and the ports it is met at."""

    top: Path
    tracking: int
    lab: int

    def script(self, name: str, *words: str) -> None:
        told = subprocess.run(
            [self.top / "deploy" / name, *words],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert told.returncode == 0, told.stderr[-3000:]

    def inside(self, service: str, program: str, *words: str) -> str:
        """Run a program in Python in a container, and return what it prints."""
        file = ("--file", str(self.top / "deploy" / "compose.yaml"), "--profile", "*")
        asked: tuple[str, ...] = ("exec", "--no-TTY", service, "python", "/app/start.py", "python")
        if service == "lab":
            asked = (*asked[:3], "python")
        return docker("compose", *file, *asked, "-c", program, *words, seconds=120)

    def outside(self, program: str, *words: str) -> str:
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.tracking}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACKING_USERNAME": "treeline",
            "MLFLOW_TRACKING_PASSWORD": self.setting("TRACKING_PASSWORD"),
        }
        command = [sys.executable, "-c", program, *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=True
        ).stdout

    def setting(self, name: str) -> str:
        lines = (self.top / "deploy" / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]", line))[name]

    def up(self) -> None:
        self.script("up.sh", "tracking", "data", "lab")

    def load_penguins(self) -> None:
        """Do what MySQL's image does at its first start, where a stand-in does not."""
        client = "MYSQL_PWD=$MYSQL_PASSWORD exec mysql -h 127.0.0.1 -u $MYSQL_USER $MYSQL_DATABASE"
        file = "/docker-entrypoint-initdb.d/penguins.sql"
        compose = ("compose", "--file", str(self.top / "deploy" / "compose.yaml"))
        docker(*compose, "exec", "--no-TTY", "mysql", "sh", "-c", f"{client} <{file}")


def s3_of_the_file() -> str:
    text = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    image: str = YAML(typ="safe").load(text)["services"]["s3"]["image"]
    return image


def need_images(*names: str) -> None:
    need_docker()
    for name in names:
        if not docker("images", "--quiet", name):
            pytest.skip(f"needs the image {name}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Tracking, data and the lab on a checkout of its own, as its scripts start them."""
    need_images(*IMAGES, s3_of_the_file())
    if find_spec("mlflow") is None:
        pytest.skip("needs mlflow: make setup-dev")
    top = tmp_path_factory.mktemp("checkout") / "main"
    for name in ("deploy", "src"):
        shutil.copytree(ROOT / name, top / name, ignore=shutil.ignore_patterns(".env"))
    if os.getuid() == 0:
        os.chown(top, UID, UID)
    stack = Stack(top, free_port(), free_port())
    given = {
        "IMAGE": "treeline-test:none",  # nothing is built
        "TRACKING_PORT": str(stack.tracking),
        "LAB_PORT": str(stack.lab),
        "MYSQL_PORT": str(free_port()),
        "TRACKING_WORKERS": "1",
        "COMPOSE_PROJECT_NAME": f"t{uuid4().hex}",
    }
    if "s3rver" in docker("image", "inspect", "-f", "{{.Config.Entrypoint}}", s3_of_the_file()):
        given |= {"S3_ACCESS_KEY": "S3RVER", "S3_SECRET_KEY": "S3RVER"}  # the only ones it takes
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        try:
            stack.script("secrets.sh")
            stack.up()
            yield stack
        finally:
            stack.script("down.sh", "--volumes", "--timeout", "5")


@pytest.fixture(scope="module")
def notes(stack: Stack) -> list[str]:
    """What MLflow has of two runs: one recorded from here, the other from the lab."""
    stack.outside(TRACK, "me")
    told = stack.inside("lab", TRACK + RECALL, "lab")
    found: list[str] = json.loads(told.splitlines()[-1])  # MLflow says first where to look
    return found


def test_runs_are_recorded_from_here_and_from_the_lab(stack: Stack, notes: list[str]) -> None:
    assert notes == ["by lab", "by me"]
    assert len(re.findall(r"note\.txt", stack.inside("mlflow", OBJECTS))) == 2


def test_mlflow_answers_to_its_names_and_no_others(stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.tracking}/api/2.0/mlflow/experiments/get?experiment_id=0"
    login = ("treeline", stack.setting("TRACKING_PASSWORD"))
    told = {
        host: calling.get(url, auth=login, headers={"Host": host}, timeout=60).status_code
        for host in ("mlflow:5000", f"localhost:{stack.tracking}", "elsewhere.example")
    }
    assert list(told.values()) == [200, 200, 403]


@pytest.mark.parametrize("login", [None, ("treeline", "guessed"), ("admin", "password1234")])
def test_mlflow_answers_nobody_without_the_right_password(
    stack: Stack, login: tuple[str, str] | None
) -> None:
    url = f"http://127.0.0.1:{stack.tracking}/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert calling.get(url, auth=login, timeout=60).status_code == 401


def test_the_lab_does_not_move_what_the_operator_named(stack: Stack) -> None:
    stack.outside(NAME)
    assert "PERMISSION_DENIED" in stack.inside("lab", RENAME)


def test_the_lab_wants_its_token_and_works_on_a_copy(stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.lab}/api/contents"
    assert calling.get(url, timeout=60).status_code == 403
    stack.inside("lab", "open('/repository/deploy/up.sh', 'a').close(); import treeline")
    refused = stack.inside("lab", TOUCH)
    assert "Read-only file system" in refused
    assert stack.inside("lab", "print(open('/checkout/deploy/.env').read())") == ""
    assert (
        stack.inside(
            "lab", "from pathlib import Path; print(*Path('/repository').glob('deploy/.env'))"
        )
        == ""
    )


def test_all_of_it_is_there_after_down_and_up(stack: Stack, notes: list[str]) -> None:
    stack.load_penguins()
    stack.script("down.sh", "--timeout", "5")
    stack.up()
    assert json.loads(stack.outside(RECALL)) == notes
    assert stack.inside("lab", COUNT) == "344"


@pytest.mark.parametrize("image", ["treeline-tracking", "treeline-lab"])
def test_an_image_refuses_an_empty_secret_by_itself(image: str) -> None:
    need_images(image)
    with pytest.raises(AssertionError, match=r"empty, as in the example; deploy/secrets\.sh"):
        docker("run", "--rm", image)


def test_prometheus_takes_the_alerts_as_they_are() -> None:
    need_images(PROMETHEUS)
    mount = f"{ROOT / 'deploy' / 'prometheus'}:/etc/prometheus:ro"
    words = ("--entrypoint", "promtool", PROMETHEUS, "check", "config")
    told = docker("run", "--rm", "-v", mount, *words, "/etc/prometheus/prometheus.yml")
    assert "11 rules found" in told
