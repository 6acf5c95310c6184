"""The images that are documented beside the usual one: each built, run as restricted, and asked."""

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests import calling
from tests.agent.homes import TAG, Images, home
from tests.balancing import need_haproxy
from tests.checkout import create
from tests.container.test_image import docker, readiness, running
from tests.images import REGISTRY, need_docker, need_registry, write_context
from tests.tiny_models import SURVIVAL
from tests.waiting import wait_until

RESTRICTED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--memory", "1g"),
    *("--security-opt", "no-new-privileges"),
)
RECORD = {"petal length (cm)": 1.4, "petal width (cm)": 0.2}

# Written by a person who knows scikit-learn, and nothing of this project but where such files go.
STRANGERS = '''\
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class LogArea(TransformerMixin, BaseEstimator):
    """Adds the logarithm of the area of a petal."""

    def __init__(self, smallest=0.01):
        self.smallest = smallest

    def fit(self, frame, target=None):
        self.n_features_in_ = frame.shape[1]
        return self

    def transform(self, frame):
        area = frame["petal length (cm)"] * frame["petal width (cm)"]
        return frame.assign(log_area=np.log(area.clip(lower=self.smallest)))
'''
PARAMS = """\
default: flowers
models:
  flowers:
    source: {kind: library, dataset: iris, labels: species}
    target: {name: species, task: multiclass}
    features:
      petal length (cm): {type: number, minimum: 0}
      petal width (cm): {type: number, minimum: 0}
    split: {test: 0.3, seed: 0}
    candidates:
      logistic:
        preprocessors: own.petals.LogArea
        estimator: sklearn.linear_model.LogisticRegression
    search: {folds: 3}
    champion: {metric: log_loss}
    gate: {floor: {accuracy: 0.8}, beats: baseline}
"""
# What an installed distribution says it consists of, and is not there.
LOST = """
from importlib.metadata import distributions
for found in distributions():
    print(*(file for file in found.files or () if not file.locate().exists()), end="")
"""
# Every module of the libraries a pickle may come from, as far as it can be imported by itself.
WHOLE = "from numpy import *; from sklearn.utils import all_estimators as a; print(len(a()))"


@pytest.fixture(scope="module")
def with_a_pickle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image for pickles, with a model whose step is a stranger's class."""
    need_docker()
    checkout = create(tmp_path_factory.mktemp("strangers") / "checkout", params=PARAMS)
    (checkout.root / "src" / "own" / "petals.py").write_text(STRANGERS)
    told = checkout.run("dvc", "repro").stdout
    assert "API_ALLOW_PICKLE" in told, "the export says how a pickle is served"
    context = tmp_path_factory.mktemp("context")
    write_context(context)
    for name in ("src", "model"):
        shutil.rmtree(context / name, ignore_errors=True)
        shutil.copytree(checkout.root / name, context / name)
    with _built(context, "pickle") as name:
        yield name


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image with all that the service can do, and a tiny model."""
    with _with_a_tiny_model(tmp_path_factory.mktemp("context"), "full") as name:
        yield name


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image that is built where nothing else is said, and a tiny model."""
    with _with_a_tiny_model(tmp_path_factory.mktemp("context"), "serve") as name:
        yield name


def test_a_strangers_class_predicts_out_of_the_container(with_a_pickle: str) -> None:
    with _ready(with_a_pickle, "--env", "API_ALLOW_PICKLE=1") as url:
        answer = calling.post(f"{url}/v1/predict", json=RECORD, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["species"] == "setosa"
        table = "petal length (cm),petal width (cm)\n1.4,0.2\n5.9,2.2\n"
        batch = calling.post(
            f"{url}/v1/predict/batch",
            content=table,
            headers={"content-type": "text/csv"},
            timeout=60,
        )
        assert [line.split(",")[0] for line in batch.text.splitlines()[1:]] == [
            "setosa",
            "virginica",
        ]


def test_a_pickle_that_is_not_admitted_names_the_setting(with_a_pickle: str) -> None:
    with running(with_a_pickle, *RESTRICTED, inside=8000) as (_, port):
        wait_until(lambda: readiness(port) == 503, seconds=60, what="it says it is not ready")
        told = calling.get(f"http://127.0.0.1:{port}/readyz", timeout=60).text
        assert "API_ALLOW_PICKLE=1" in told


def test_nothing_is_taken_out_of_the_libraries_that_a_pickle_may_need(with_a_pickle: str) -> None:
    assert docker("run", "--rm", with_a_pickle, "python", "-c", LOST) == ""
    assert int(docker("run", "--rm", with_a_pickle, "python", "-c", WHOLE, seconds=120)) > 150


def test_the_full_image_takes_and_gives_arrow_and_parquet(full: str) -> None:
    rows = pa.Table.from_pylist([dict(SURVIVAL.example)] * 3)
    sent = io.BytesIO()
    parquet.write_table(rows, sent)
    with _ready(full) as url:
        answer = calling.post(
            f"{url}/v1/predict/batch",
            content=sent.getvalue(),
            headers={"content-type": "application/vnd.apache.parquet"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        assert parquet.read_table(io.BytesIO(answer.content)).num_rows == 3


@pytest.mark.parametrize(
    "what",
    [
        "import PIL.Image; print(PIL.Image.new('L', (1, 1)).size)",
        "import psycopg; print(psycopg.pq.version())",
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as e; "
        "from opentelemetry.sdk.trace import TracerProvider; print(e)",
        "import mlflow, alembic; print(mlflow.__version__)",
        "import sqlalchemy.dialects.postgresql; print(sqlalchemy.__version__)",
    ],
    ids=["pictures", "PostgreSQL", "tracing", "the registry", "the log's database"],
)
def test_the_full_image_has_what_it_is_documented_to_have(full: str, what: str) -> None:
    assert docker("run", "--rm", "--read-only", "--tmpfs", "/tmp", full, "python", "-c", what)


@contextmanager
def _with_a_tiny_model(context: Path, runtime: str) -> Iterator[str]:
    need_docker()
    write_context(context, SURVIVAL)
    with _built(context, runtime) as name:
        yield name


@contextmanager
def _built(context: Path, runtime: str) -> Iterator[str]:
    name = f"treeline-test:{uuid4().hex}"
    options = ("--build-arg", f"RUNTIME={runtime}", "--tag", name)
    docker("build", "--quiet", *options, str(context), seconds=900)
    try:
        yield name
    finally:
        docker("rmi", "--force", name)


@contextmanager
def _ready(image: str, *options: str) -> Iterator[str]:
    with running(image, *RESTRICTED, *options, inside=8000) as (_, port):
        wait_until(lambda: readiness(port) == 200, seconds=120, what="it is ready")
        yield f"http://127.0.0.1:{port}"


def test_an_agent_puts_the_usual_image_in_service(usual: str, tmp_path: Path) -> None:
    need_haproxy()
    need_registry()
    name = f"{REGISTRY}/treeline-test-{uuid4().hex[:12]}"
    docker("tag", usual, f"{name}:{TAG}")
    docker("push", "--quiet", f"{name}:{TAG}")
    pushed = docker("image", "inspect", "-f", "{{json .RepoDigests}}", usual)
    digest = next(each for each in json.loads(pushed) if each.startswith(f"{name}@"))
    docker("rmi", f"{name}:{TAG}")
    images = Images(name.partition("/")[2], {"real": digest.rpartition("@")[2]})
    patience = {"ready": 120, "probation": 1, "look": 0.5, "failures": 2}
    with home(tmp_path / "laptop", images, patience=patience, options=[]) as laptop:
        text = laptop.agent("run")
        assert laptop.state.live is not None, text
        answer = calling.post(f"{laptop.url}/v1/predict", json=SURVIVAL.example, timeout=60)
        assert answer.json()["model"] == "tree-survival"
        assert calling.get(f"{laptop.url}/metrics", timeout=60).status_code == 404
        assert laptop.agent("run").startswith("in service:")
