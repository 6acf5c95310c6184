"""`treeline compare --live`: a shadow answers what a service was asked, and both are judged."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import pytest

from tests.conftest import Project
from tests.recorded import HEADERS, KEY, KEY_LINE
from tests.serving import serving
from tests.stages import made
from tests.warm import PYTHON, programs
from treeline.commands.live import HERE, compare_live
from treeline.contract.signature import Signature
from treeline.errors import ComparisonError, ConfigError, GateError, TreelineError

NAME, ROWS, KNOWN = "seedlings", 400, 300
LOGISTIC = "sklearn.linear_model.LogisticRegression"
SECRET = "TREELINE_SERVICE_KEY"
SPECIES_ALONE = {
    "preprocessors": {
        "class": "treeline.trainers.preprocessors.KeepColumns",
        "options": {"columns": ["Species"]},
    },
    "estimator": LOGISTIC,
}


def git(*arguments: str) -> str:
    command = ["git", "-c", "user.name=A person", "-c", "user.email=p@example.invalid", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit() -> str:
    git("add", "--all", "--force", "params.yaml", "model")
    git("commit", "--quiet", "--message", "Train")
    return git("rev-parse", "HEAD")


def declare(project: Project, **changed: Any) -> None:
    document = project.document()
    document["models"][NAME] |= changed
    project.write(document)


def asked(seed: int) -> pd.DataFrame:
    chance = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "Species": chance.choice(["Acer", "Quercus"], ROWS),
            "Light": chance.random(ROWS).round(3),
            "EMF": chance.integers(0, 60, ROWS) / 2,
        }
    )


def answer(client: httpx2.Client) -> None:
    """Have requests answered, most in a batch and some alone, and tell the truth of most."""
    frame = asked(5)
    records = json.loads(frame.to_json(orient="records"))
    batch = client.post("/v1/predict/batch", json=records[50:]).raise_for_status().json()
    alone = [
        client.post("/v1/predict", json=each).raise_for_status().json() for each in records[:50]
    ]
    dies = (frame["Light"] < 0.5).astype(int).tolist()
    truths = [
        {"id": each["id"], "truth": truth}
        for each, truth in zip([*alone, *batch][:KNOWN], dies, strict=False)
    ]
    client.post("/v1/feedback", json=truths).raise_for_status()


@pytest.fixture
def live(project: Project, tmp_path: Path) -> Iterator[tuple[Project, str, str, str]]:
    """A service that answers with a poor model, and a better one that was trained later."""
    git("init", "--quiet")
    Path(".gitignore").write_text("/build/\n/service/\n")
    declare(project, candidates={"species": SPECIES_ALONE}, gate={"beats": None})
    made(project)
    poor = commit()
    served = tmp_path / "service"
    shutil.copytree(project.root / "model", served / "model")
    declare(project, candidates={"logistic": {"estimator": LOGISTIC}})
    made(project)
    better = commit()
    with serving(served / "model", served / "log", API_KEYS=KEY_LINE) as service:
        with httpx2.Client(base_url=service.url, headers=HEADERS, timeout=60) as client:
            answer(client)
        yield project, poor, better, service.url


def test_a_better_model_may_take_the_place_of_one_that_answers(
    live: tuple[Project, str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, poor, better, url = live
    monkeypatch.setenv(SECRET, KEY)
    version = Signature.read(project.paths.signature).version
    done = treeline("--base", poor, "--log", url, NAME)
    assert done.returncode == 0, done.stderr
    assert f"{NAME} {version} may take the place" in done.stdout
    record = json.loads(Path(f"build/shadow/{NAME}.json").read_text())
    assert (record["rows"], record["known"], record["refused"]) == (ROWS, KNOWN, 0)
    table = pd.read_parquet(f"build/shadow/{NAME}.parquet")
    assert list(table) == [
        "time", "service", "service_probability", "shadow", "shadow_probability", "truth"
    ]  # fmt: skip
    assert (len(table), table["truth"].notna().sum()) == (ROWS, KNOWN)
    truth = table["truth"].dropna().astype(int)
    assert record["agreement"] == pytest.approx((table["service"] == table["shadow"]).mean())
    assert (table.loc[truth.index, "shadow"] == truth).mean() > 0.9

    database = f"sqlite:///{Path.cwd()}/service/state/predictions.sqlite"
    for shadow, log in ((better, url), (HERE, database)):
        [again] = compare_live(
            [NAME], base=poor, shadow=shadow, log=(log, SECRET), times=(None, None)
        )
        assert again.comparison == record["comparison"]
    assert again.good

    [early] = compare_live([NAME], base=poor, shadow=HERE, log=(url, SECRET), times=(0, None))
    assert "may have learnt from rows of before it was made" in early.to_text()
    [none] = compare_live([NAME], base=better, shadow=poor, log=(url, SECRET), times=(None, None))
    assert (none.rows, none.comparison, none.good) == (0, None, False)
    assert "cannot be judged yet" in none.to_text()

    refused(project, poor, url)


def refused(project: Project, base: str, url: str) -> None:
    """A model that the gate refused answers in the shadow too."""
    declare(
        project, gate={"floor": {"accuracy": 1.0}, "beats": None}, split={"test": 0.25, "seed": 3}
    )
    with suppress(GateError):
        made(project)
    [shadow] = compare_live([NAME], base=base, shadow=HERE, log=(url, SECRET), times=(0, None))
    assert shadow.shadow.startswith("not exported, ") and shadow.comparison is not None


def treeline(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs() / PYTHON, "-m", "treeline", "compare", "--live", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, SECRET: KEY},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        (
            {"target": {"name": "Alive", "task": "binary", "positive": 1}},
            ComparisonError,
            "'Alive'",
        ),
        ({"features": {"Height": {"type": "number"}}}, ComparisonError, "not given Height"),
    ],
)
def test_what_answers_another_question_is_no_shadow(
    project: Project, changed: dict[str, Any], error: type[TreelineError], words: str
) -> None:
    git("init", "--quiet")
    made(project)
    base = commit()
    declare(project, **changed)
    with pytest.raises(error, match=words):
        compare_live([NAME], base=base, shadow=HERE, log=("sqlite:///none", ""), times=(0, None))


def test_without_a_model_there_is_no_shadow(project: Project) -> None:
    git("init", "--quiet")
    made(project)
    base = commit()
    project.paths.estimator.unlink()
    with pytest.raises(ConfigError, match="no model is trained here"):
        compare_live([NAME], base=base, shadow=HERE, log=("sqlite:///none", ""), times=(0, None))


def test_a_log_must_be_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "treeline", "compare", "--live"],
        capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if name != "TREELINE_LOG"},
    )  # fmt: skip
    assert done.returncode == 2 and "Give --log" in done.stderr
