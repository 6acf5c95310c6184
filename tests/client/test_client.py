"""The client in Python asks the service as it really runs, with an event loop and without."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest

import treeline
from tests.api.uploading import KEY, KEYS
from tests.serving import ROOT, Service, free_port, serving
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, write_model
from treeline.client.messages import failure, wait_seconds
from treeline.errors import (
    AccessError,
    InvalidInputError,
    ServiceAwayError,
    ServiceError,
    UnknownModelError,
)

Call = Callable[..., Any]
CLASSES = ["Client", "AsyncClient"]
SPECIES = SURVIVAL.features["Species"].categories
HEAVY = ("dvc", "matplotlib", "onnxruntime", "pandas", "pyarrow", "scipy", "sklearn")
RECORDS = """
import sys
import treeline

with treeline.Client(sys.argv[1]) as client:
    answers = client.predict_batch([{record}] * 3, model="iris")
assert len(answers) == 3
print(*sorted(set({heavy}) & {{name.partition(".")[0] for name in sys.modules}}))
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("client")
    for recipe in (SURVIVAL, IRIS, DIABETES):
        write_model(folder / "models", recipe)
    settings = {"API_KEYS": KEYS, "WEB_CONCURRENCY": "1"}
    with serving(folder / "models", folder / "log", **settings) as service:
        yield service


def caller(kind: str, url: str, **options: Any) -> Call:
    """Return what calls a method of a client, in an event loop where it needs one."""

    async def answered(method: str, *given: Any, **named: Any) -> Any:
        async with treeline.AsyncClient(url, **options) as client:
            return await getattr(client, method)(*given, **named)

    def call(method: str, *given: Any, **named: Any) -> Any:
        if kind == "AsyncClient":
            return asyncio.run(answered(method, *given, **named))
        with treeline.Client(url, **options) as client:
            return getattr(client, method)(*given, **named)

    return call


@pytest.fixture(params=CLASSES)
def call(request: pytest.FixtureRequest, service: Service) -> Call:
    return caller(request.param, service.url, key=KEY, chunk_rows=10)


def seedlings(rows: int) -> pd.DataFrame:
    number = np.arange(rows)
    return pd.DataFrame(
        {
            "Species": pd.Categorical([SPECIES[each % 4] for each in number]),
            "Light_ISF": (number % 101) / 101,
            "EMF": np.where(number % 3, number % 90, np.nan),
            "Leaves": number % 12,
            "Phenolics": np.nan,
            "Sterile": number % 2 == 0,
            "Remark": "of no concern",
        },
        index=[f"no {each}" for each in number],
    )


def test_both_clients_have_the_same_methods() -> None:
    ways = [{name for name in dir(getattr(treeline, each)) if name[0] != "_"} for each in CLASSES]
    assert ways[0] == ways[1] >= {"predict", "predict_batch", "feedback", "models", "model"}


def test_a_record_is_answered(call: Call) -> None:
    answer = call("predict", IRIS.example, model="iris")
    assert (answer.target, answer.prediction, answer.model) == ("species", "setosa", "iris")
    assert answer.probability == max(answer.probabilities.values())
    default = call("predict", {**SURVIVAL.example, "Remark": "none"}, extra="ignore")
    assert (default.model, default.probabilities) == (SURVIVAL.name, None)
    assert call("predict", DIABETES.example, model="diabetes").probability is None


def test_a_frame_is_answered_as_the_artifact_answers_it(call: Call, service: Service) -> None:
    frame, seen = seedlings(25), list[tuple[int, int]]()
    answers = call("predict_batch", frame, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(10, 25), (20, 25), (25, 25)]
    assert answers.index.tolist() == frame.index.tolist()
    assert answers.columns.tolist() == ["prediction", "probability", "id", "version"]
    assert answers["id"].nunique() == 25
    local = treeline.Artifact.load(service.log.parent / "models" / SURVIVAL.name).predict(frame)
    assert answers["prediction"].tolist() == local["prediction"].tolist()
    assert np.allclose(answers["probability"], local["probability"], atol=1e-6)


def test_a_list_of_records_is_answered_by_a_list(call: Call) -> None:
    answers = call("predict_batch", [IRIS.example] * 2, model="iris")
    assert [answer["prediction"] for answer in answers] == ["setosa"] * 2
    assert set(answers[0]) >= {f"probability_{name}" for name in IRIS.classes}
    assert call("predict_batch", []) == []


def test_answers_are_explained_where_that_is_asked_for(call: Call) -> None:
    explanation = call("predict", IRIS.example, model="iris", explain=True).explanation
    assert set(explanation["contributions"]) == set(IRIS.features)
    total = explanation["base"] + sum(explanation["contributions"].values())
    assert total == pytest.approx(explanation["value"], abs=1e-4)
    assert call("predict", IRIS.example, model="iris").explanation is None
    answers = call("explain_batch", seedlings(12))
    contributions = answers.filter(like="contribution_")
    assert contributions.columns.tolist() == [f"contribution_{name}" for name in SURVIVAL.features]
    totals = contributions.sum(axis=1) + answers["explanation_base"]
    assert np.allclose(totals, answers["explanation_value"], atol=1e-4)


def test_a_bad_record_names_each_field(call: Call) -> None:
    with pytest.raises(InvalidInputError) as refused:
        call("predict", {**SURVIVAL.example, "Species": "Fagus", "Light_ISF": 7})
    problems = {problem.place: problem for problem in refused.value.problems}
    assert set(problems) == {"Species", "Light_ISF"}
    assert problems["Species"].admitted == tuple(SPECIES)
    assert problems["Light_ISF"].value == 7


def test_bad_rows_are_named_as_the_caller_knows_them(call: Call) -> None:
    frame = seedlings(30)
    frame.loc["no 25", "Light_ISF"] = 7
    with pytest.raises(InvalidInputError) as refused:
        call("predict_batch", frame)
    assert [problem.place for problem in refused.value.problems] == ["row no 25: Light_ISF"]
    records = frame.drop(columns="Remark").astype(object).where(frame.notna(), None)
    with pytest.raises(InvalidInputError, match=r"^row 26: Light_ISF: "):
        call("predict_batch", records.to_dict("records"))
    reported = call("predict_batch", frame, bad_rows="report")
    assert reported.index[reported["error"].notna()].tolist() == ["no 25"]
    assert "Light_ISF" in reported["error"]["no 25"]
    assert reported["prediction"].isna().sum() == 1


def test_what_json_cannot_hold_is_refused_before_it_is_sent(call: Call) -> None:
    with pytest.raises(InvalidInputError, match=r"^Light_ISF: cannot be sent as JSON: nan"):
        call("predict", {**SURVIVAL.example, "Light_ISF": float("nan")})
    frame = seedlings(30)
    frame.loc["no 25", "Light_ISF"] = np.inf
    with pytest.raises(InvalidInputError, match=r"^row no 25: Light_ISF: cannot .* JSON: inf"):
        call("predict_batch", frame)


@pytest.mark.parametrize("value", [np.float32(0.25), np.float64(0.25), np.array(0.25), np.int64(0)])
def test_a_number_of_numpy_is_a_number(value: Any, call: Call) -> None:
    records = [{**SURVIVAL.example, "Light_ISF": each} for each in (value, value.item())]
    first, second = (call("predict", record) for record in records)
    assert first.probability == second.probability


def test_a_column_of_times_that_is_no_feature_can_be_beside(call: Call) -> None:
    frame = seedlings(3).assign(seen=pd.Timestamp("2026-01-31"))
    assert len(call("predict_batch", frame)) == 3


@pytest.mark.parametrize("rows", [{"Light_ISF": 0.2}, pd.Series([0.2]), iter([{}]), "rows.csv"])
def test_what_is_neither_a_frame_nor_a_list_is_refused(rows: Any, call: Call) -> None:
    with pytest.raises(InvalidInputError, match="is neither a frame of pandas nor a list"):
        call("predict_batch", rows)


def test_truths_are_taken_one_or_many(call: Call) -> None:
    ids = [call("predict", IRIS.example, model="iris").id for _ in range(2)]
    assert call("feedback", treeline.Truth("setosa", id=ids[0])) == 1
    assert call("feedback", [treeline.Truth("virginica", id=each) for each in ids]) == 2
    with pytest.raises(InvalidInputError, match="oak"):
        call("feedback", treeline.Truth("oak", id=ids[0]))


def test_models_are_listed_with_their_contract(call: Call) -> None:
    listed = {each.name: each for each in call("models")}
    assert set(listed) == {SURVIVAL.name, IRIS.name, DIABETES.name}
    assert listed[SURVIVAL.name].default and listed[IRIS.name].task == "multiclass"
    assert set(call("model", "iris")["features"]) == set(IRIS.features)


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_say_what_can_be_done(kind: str, service: Service) -> None:
    without_key = caller(kind, service.url)
    with pytest.raises(AccessError) as refused:
        without_key("feedback", treeline.Truth("setosa", id="0" * 32))
    assert refused.value.status == 401
    with pytest.raises(UnknownModelError, match="iris") as unknown:
        without_key("predict", {}, model="nothing")
    assert unknown.value.status == 404
    nobody = caller(kind, f"http://127.0.0.1:{free_port()}", retries=1)
    with pytest.raises(ServiceAwayError, match="is the service running"):
        nobody("models")
    with pytest.raises(ServiceError, match="404"):
        caller(kind, f"{service.url}/elsewhere")("models")


class Busy(BaseHTTPRequestHandler):
    """A balancer that puts the first request off, and lists no models from the second on."""

    asked = 0

    def do_GET(self) -> None:
        Busy.asked += 1
        body = b'{"models": []}' if Busy.asked > 1 else b"busy"
        self.send_response(200 if Busy.asked > 1 else 503)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("kind", CLASSES)
def test_what_is_put_off_is_sent_again(kind: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            Busy.asked = 0
            with pytest.raises(ServiceAwayError, match="503: busy"):
                caller(kind, url, retries=0)("models")
            Busy.asked = 0
            assert caller(kind, url)("models") == []
            assert Busy.asked == 2
        finally:
            server.shutdown()


def test_what_is_no_problem_document_is_an_error_too() -> None:
    error = failure(502, b"<html>Bad  gateway</html>")
    assert isinstance(error, ServiceAwayError)
    assert str(error) == "the service answered 502: <html>Bad gateway</html>"
    assert wait_seconds(503, {}) is None
    assert wait_seconds(503, {"retry-after": "7"}) == 7
    assert wait_seconds(500, {"retry-after": "7"}) is None


def test_records_are_asked_for_without_a_library_of_training(service: Service) -> None:
    script = RECORDS.format(record=dict(IRIS.example), heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", script, service.url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_progress_can_be_seen(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    caller("Client", service.url, chunk_rows=10)("predict_batch", seedlings(20), progress=True)
    assert capsys.readouterr().err == "\r10 of 20 rows\r20 of 20 rows\n"


def test_the_examples_of_the_page_ask_the_service(service: Service) -> None:
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {"url": service.url, "key": KEY, "record": dict(IRIS.example)}
    names["frame"] = pd.DataFrame([IRIS.example] * 3)
    for example in examples:
        exec(compile(example, "clients.md", "exec"), names)
    assert names["frame"]["species"].tolist() == ["setosa"] * 3
    assert list(names["wrong"]) == ["petal width (cm)"]
