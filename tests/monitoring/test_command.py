"""`treeline monitor`: a service answers, and the command says of its log what has changed."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import pytest

from tests.conftest import Project
from tests.recorded import HEADERS, KEY, KEY_LINE
from tests.serving import serving
from tests.tiny_models import ARTIFACT, SURVIVAL, build_graph, commit, sign
from tests.warm import PYTHON, programs
from treeline.contract.signature import Learnt, Signature
from treeline.export.provenance import reference
from treeline.files import digest
from treeline.monitoring.record import Record

NAME, ROWS = SURVIVAL.name, 240


def drawn(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Species": rng.choice(SURVIVAL.features["Species"].categories, rows),
            "Light_ISF": rng.random(rows).round(3),
            "EMF": rng.integers(0, 60, rows) / 2,
            "Phenolics": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows).round(3)),
            "Leaves": rng.poisson(5, rows),
            "Sterile": rng.random(rows) < 0.5,
        }
    )


@pytest.fixture
def exported(project: Project) -> Signature:
    """Return the signature of a model in the scratch repository, as it was exported."""
    document = project.document()
    [block] = document["models"].values()
    block["features"] = {
        name: each.model_dump(mode="json", exclude_defaults=True)
        for name, each in SURVIVAL.features.items()
    }
    block |= {"monitor": {"rows": 200}, "split": {"test": 0.25}}
    project.write({"default": NAME, "models": {NAME: block}})
    spread = reference(drawn(np.random.default_rng(0), 2000), SURVIVAL.features)
    graph = build_graph(SURVIVAL)
    signature = sign(graph, SURVIVAL, reference=spread, learnt=Learnt(rows=2000))
    path = project.root / "model" / NAME / ARTIFACT
    path.parent.mkdir(parents=True)
    path.write_bytes(graph.SerializeToString())
    return commit(
        project.root / "model", signature.model_copy(update={"files": {ARTIFACT: digest(path)}})
    )


def send(client: httpx2.Client, batch: list[dict[str, Any]]) -> None:
    """Let a batch be answered, and tell the truth of its first fifty rows."""
    answer = client.post("/v1/predict/batch", json=batch).raise_for_status()
    ids = [each["id"] for each in answer.json()[:50]]
    truths = [{"id": each, "truth": 1} for each in ids]
    client.post("/v1/feedback", json=truths).raise_for_status()


def monitor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs() / PYTHON, "-m", "treeline", "monitor", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **variables},
    )  # fmt: skip


def test_a_service_is_watched_by_its_export_and_by_its_database(
    project: Project, exported: Signature, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    batches: list[list[dict[str, Any]]] = [
        json.loads(each.to_json(orient="records"))
        for each in (drawn(rng, ROWS), drawn(rng, ROWS).assign(Light_ISF=0.5))
    ]
    folder = tmp_path / "service"
    folder.mkdir()
    with serving(project.root / "model", folder / "log", API_KEYS=KEY_LINE) as service:
        database = f"sqlite:///{folder}/state/predictions.sqlite"
        with httpx2.Client(base_url=service.url, headers=HEADERS, timeout=60) as client:
            wrong = batches[0][0] | {"Species": "Fagus"}
            assert client.post("/v1/predict", json=wrong).status_code == 422

            send(client, batches[0])
            quiet = monitor("--log", service.url, "--json", TREELINE_SERVICE_KEY=KEY)
            assert quiet.returncode == 0, quiet.stderr
            [summary] = json.loads(quiet.stdout)
            assert (summary["state"], summary["rows"], summary["labelled"]) == ("quiet", ROWS, 50)
            record = Record.model_validate_json(Path(f"build/monitor/{NAME}.json").read_bytes())
            assert record.refused == {"Species": 1}
            assert record.version == exported.version
            refused = monitor("--log", service.url, NAME)
            assert refused.returncode == 1
            assert (
                "put an API key with the scope `read` into TREELINE_SERVICE_KEY" in refused.stderr
            )
            send(client, batches[1])
            alarmed = monitor("--log", service.url, NAME, TREELINE_SERVICE_KEY=KEY)
            assert alarmed.returncode == 3, alarmed.stderr
    assert "inputs: Light_ISF is spread otherwise" in alarmed.stdout
    assert_reported()
    same = monitor("--log", database, NAME)
    assert (same.returncode, same.stdout) == (3, alarmed.stdout)


def assert_reported() -> None:
    report = Path(f"build/monitor/{NAME}.md").read_text()
    assert "| inputs | `Light_ISF` |" in report
    for picture in ("moved", "column-1"):
        assert f"![]({NAME}/{picture}.png)" in report
        assert Path(f"build/monitor/{NAME}/{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_watched_is_said(project: Project) -> None:
    named = monitor("--log", "sqlite:///absent.sqlite", "unknown")
    assert named.returncode == 1
    assert "unknown: not declared; declared are seedlings" in named.stderr
    absent = monitor("--log", "sqlite:///absent.sqlite", "seedlings")
    assert "seedlings: is not exported here" in absent.stderr
    assert monitor().returncode == 2
    moment = monitor("--log", "sqlite:///absent.sqlite", "--since", "2030-01-31")
    assert moment.returncode == 2
    assert "is no time with its zone" in moment.stderr
