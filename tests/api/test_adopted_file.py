"""The very file that was adopted is scored at every door, as it is: extra columns, NA and all."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import parquet

from tests import calling
from tests.real_data import PROJECT
from tests.serving import Service, serving
from tests.tiny_models import Recipe, write_model
from treeline.config import read_params
from treeline.config.models import ModelSpec

MODEL = "tree-survival"
BATCH = "/v1/predict/batch"
EXTRA = "?extra=ignore"
JSON_LINES = "application/x-ndjson"


def declared() -> ModelSpec:
    """Return the declaration of the model that learns from this file."""
    return read_params(PROJECT / "params.yaml").models[MODEL]


def records_of(file: Path) -> list[dict[str, Any]]:
    """Return the rows of the file as a data frame sends them, with all their columns."""
    frame = pd.read_csv(file)
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records"))
    return records


@pytest.fixture(scope="module")
def service(
    real_seedlings: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Path]]:
    """A service of the declared contract over some weights, and the folder of its models."""
    spec, root = declared(), tmp_path_factory.mktemp("adopted")
    first = records_of(real_seedlings)[1]
    recipe = Recipe(
        name=MODEL,
        target=spec.target,
        classes=(0, 1),
        features=spec.features,
        example={name: first[name] for name in spec.features},
        weights={"Light_ISF": -2.0, "Species": 0.5, "EMF": 0.03, "Phenolics": -0.2, "NSC": 0.02},
        missing=spec.missing,
        default=True,
    )
    write_model(root / "model", recipe)
    with serving(root / "model", root / "log", API_PREDICTION_LOG="false") as service:
        yield service, root / "model"


@pytest.fixture(scope="module")
def scored(
    real_seedlings: Path, service: tuple[Service, Path], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """What the command `score` makes of the file."""
    target = tmp_path_factory.mktemp("scored") / "scored.parquet"
    command = [sys.executable, "-m", "treeline", "score", MODEL, str(real_seedlings)]
    subprocess.run(
        [*command, str(target), "--models", str(service[1]), "--keep", "No"],
        cwd=PROJECT,
        check=True,
    )
    rows: list[dict[str, Any]] = parquet.read_table(target).to_pylist()
    return rows


def test_the_command_scores_every_row(scored: list[dict[str, Any]], real_seedlings: Path) -> None:
    frame = pd.read_csv(real_seedlings)
    assert [row["No"] for row in scored] == frame["No"].astype(str).tolist()
    assert all(row["error"] is None for row in scored)
    assert {row["prediction"] for row in scored} == {0, 1}
    assert len({row["probability"] for row in scored}) > 1000


def curl(service: Service, *options: str) -> list[dict[str, Any]]:
    """Return the rows that the service answers to curl."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    told = subprocess.run(
        ["curl", "-sS", "--fail-with-body", "-H", "Accept: application/json", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout[:2000] + told.stderr
    rows: list[dict[str, Any]] = json.loads(told.stdout)
    return rows


def alike(rows: list[dict[str, Any]], scored: list[dict[str, Any]]) -> None:
    """Hold the answer of a door against what the command made."""
    assert len(rows) == len(scored)
    assert [row["Event"] for row in rows] == [row["prediction"] for row in scored]
    assert [row["probability"] for row in rows] == pytest.approx(
        [row["probability"] for row in scored], rel=1e-6
    )


@pytest.mark.parametrize("query", [EXTRA, ""], ids=["ignored when asked", "ignored by itself"])
@pytest.mark.parametrize("door", ["CSV body", "form"])
def test_curl_sends_the_file_as_it_is(
    service: tuple[Service, Path],
    scored: list[dict[str, Any]],
    real_seedlings: Path,
    door: str,
    query: str,
) -> None:
    url = f"{service[0].url}{BATCH}{query}"
    options = {
        "CSV body": ["-H", "Content-Type: text/csv", "--data-binary", f"@{real_seedlings}"],
        "form": ["-F", f"file=@{real_seedlings}"],
    }
    alike(curl(service[0], *options[door], url), scored)


@pytest.mark.parametrize("door", ["records", "columns", "lines"])
def test_its_rows_as_json_are_answered_alike(
    service: tuple[Service, Path], scored: list[dict[str, Any]], real_seedlings: Path, door: str
) -> None:
    records = records_of(real_seedlings)
    bodies = {
        "records": ("application/json", json.dumps(records)),
        "columns": (
            "application/json", json.dumps({n: [r[n] for r in records] for n in records[0]})
        ),
        "lines": (JSON_LINES, "\n".join(map(json.dumps, records))),
    }  # fmt: skip
    media_type, body = bodies[door]
    headers = {"Content-Type": media_type, "Accept": "application/json"}
    answer = calling.post(
        f"{service[0].url}{BATCH}{EXTRA}", content=body, headers=headers, timeout=60
    )
    assert answer.status_code == 200, answer.text[:2000]
    assert {"No", "Plot", "Event", "Alive"} <= {*answer.headers["Ignored-Columns"].split(",")}
    alike(answer.json(), scored)


def test_one_of_its_rows_is_answered_alone(
    service: tuple[Service, Path], scored: list[dict[str, Any]], real_seedlings: Path
) -> None:
    for at in (0, 1, 2782):
        record = records_of(real_seedlings)[at]
        answer = calling.post(f"{service[0].url}/v1/predict{EXTRA}", json=record, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["probability"] == pytest.approx(scored[at]["probability"], rel=1e-6)
        assert "Alive" in answer.headers["Ignored-Columns"]
