"""What Prometheus reads: exact counts, across workers and their deaths, under few names."""

import json
import os
import re
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from api.telemetry.metrics import MOST_MODELS, Metrics
from tests.api.conftest import Serve
from tests.serving import serving
from tests.tiny_models import ARTIFACT, DIABETES, IRIS, SURVIVAL, Recipe, write_model
from tests.waiting import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
LABELS = {"model": "tree-survival"}
NAME = re.compile(r"\btreeline_[a-z_]+")


def told(text: str, name: str, **labels: str) -> float:
    """Return the sum of the samples of a name that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def names_in(text: str) -> set[str]:
    """Return the names under which something can be asked of Prometheus."""
    names = set()
    for family in text_string_to_metric_families(text):
        suffixes = ("_bucket", "_count", "_sum") if family.type == "histogram" else ("",)
        counter = "_total" if family.type == "counter" else ""
        names |= {f"{family.name}{counter}{suffix}" for suffix in suffixes}
    return names


def predict(client: TestClient, recipe: Recipe, **changed: object) -> int:
    path = f"/v1/models/{recipe.name}/predict"
    return client.post(path, json={**recipe.example, **changed}).status_code


def test_predictions_are_counted_by_model_version_and_class(models: Path, serve: Serve) -> None:
    client = serve(models)
    for recipe in (SURVIVAL, SURVIVAL, IRIS, DIABETES):
        assert predict(client, recipe) == 200
    predict(client, SURVIVAL, Light_ISF=0.0, Species="Quercus rubra")
    text = client.get("/metrics").text
    versions = client.get("/readyz").json()["models"]
    counted = "treeline_predictions_total"
    by_class = [told(text, counted, **LABELS, **{"class": each}) for each in ("0", "1")]
    assert sum(by_class) == 3 and all(by_class)
    version = versions["diabetes"]
    assert told(text, counted, model="diabetes", version=version, **{"class": ""}) == 1


def test_how_long_they_took_is_a_histogram_in_seconds(models: Path, serve: Serve) -> None:
    client = serve(models)
    for _ in range(3):
        predict(client, IRIS)
    text, name = client.get("/metrics").text, "treeline_prediction_duration_seconds"
    assert told(text, f"{name}_count", model="iris") == 3
    assert told(text, f"{name}_bucket", model="iris", le="+Inf") == 3
    assert 0 < told(text, f"{name}_sum", model="iris") < 3


def test_what_was_wrong_is_counted_by_feature_and_status(models: Path, serve: Serve) -> None:
    client = serve(models)
    predict(client, SURVIVAL, Light_ISF=7, Species="Fagus")
    predict(client, SURVIVAL, Light_ISF=8, made_up=1, another=2)
    text, refused = client.get("/metrics").text, "treeline_refused_fields_total"
    assert told(text, refused, **LABELS, field="Light_ISF") == 2
    assert told(text, refused, **LABELS, field="Species") == 1
    assert told(text, refused, **LABELS, field="other") == 2
    assert "made_up" not in text
    assert told(text, "treeline_prediction_problems_total", **LABELS, status="422") == 2


def test_requests_are_counted_by_the_template_of_their_route(models: Path, serve: Serve) -> None:
    client = serve(models)
    for path in ("/v1/models/iris", "/v1/models/oak", "/v1/models/elm", "/nowhere/1", "/nowhere/2"):
        client.get(path)
    client.request("BREW", "/v1/models")
    text, counted = client.get("/metrics").text, "treeline_http_requests_total"
    route = "/v1/models/{model}"
    assert told(text, counted, route=route, method="GET", status="200") == 1
    assert told(text, counted, route=route, method="GET", status="404") == 2
    assert told(text, counted, route="other", status="404") == 2
    assert told(text, counted, method="other") == 1
    assert told(text, "treeline_http_request_duration_seconds_count", route=route) == 3
    assert "oak" not in text and "nowhere" not in text and "BREW" not in text


def test_models_are_told_with_their_age_and_refused_ones_are_counted(
    tmp_path: Path, serve: Serve
) -> None:
    signatures = [write_model(tmp_path, recipe) for recipe in (SURVIVAL, IRIS)]
    (tmp_path / "iris" / ARTIFACT).unlink()
    text = serve(tmp_path).get("/metrics").text
    labels = {**LABELS, "version": signatures[0].version}
    assert told(text, "treeline_model_info", **labels) == 1
    assert told(text, "treeline_model_loaded_timestamp_seconds", **labels) > 1.7e9
    assert told(text, "treeline_model_info", model="iris") == 0
    assert told(text, "treeline_refused_models") == 1


def test_applications_of_one_process_count_apart(models: Path, serve: Serve) -> None:
    first, second = serve(models), serve(models)
    predict(first, IRIS)
    assert told(first.get("/metrics").text, "treeline_predictions_total") == 1
    assert told(second.get("/metrics").text, "treeline_predictions_total") == 0


def test_however_many_models_come_and_go_the_series_are_bounded() -> None:
    metrics = Metrics()
    count = MOST_MODELS + 100
    for number in range(count):
        metrics.model("iris", f"{number:012x}", ()).failed(422)
        metrics.batch_rows("iris", f"{number:012x}b", "answered", 1)
        metrics.swap(f"model-{number}", "removed")
    text = metrics.exposed().decode()
    versions = set(re.findall(r'version="(\w+)"', text))
    models = set(re.findall(r'model="([\w-]+)"', text))
    assert len(versions) <= MOST_MODELS + 1
    assert len(models) <= MOST_MODELS + 2  # `iris` and `other`
    for name in ("prediction_problems", "batch_rows", "model_swaps"):
        assert told(text, f"treeline_{name}_total") == count


def test_metrics_are_not_part_of_the_documented_interface(client: TestClient) -> None:
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "/metrics" not in client.get("/openapi.json").json()["paths"]


def test_the_counts_of_all_workers_add_up_and_survive_a_killed_one(
    models: Path, tmp_path: Path
) -> None:
    settings = {"WEB_CONCURRENCY": "2", "API_PREDICTION_LOG": "false"}
    with serving(models, tmp_path / "log", **settings) as service:
        caller = httpx2.Client(base_url=service.url, headers={"Connection": "close"}, timeout=20)

        def ask(_: int) -> int:
            return caller.post("/v1/predict", json=SURVIVAL.example).status_code

        def counted() -> float:
            text = caller.get("/metrics").text
            assert told(text, "treeline_requests_under_way") < 3
            assert told(text, "treeline_prediction_duration_seconds_count") == told(
                text, "treeline_predictions_total"
            )
            return told(text, "treeline_predictions_total")

        def workers() -> list[int]:
            command = ["pgrep", "-P", str(service.process.pid)]
            listed = subprocess.run(command, capture_output=True, text=True, check=False)
            return [int(pid) for pid in listed.stdout.split()]

        wait_until(lambda: len(workers()) >= 2, seconds=20, what="two workers")
        with caller, ThreadPoolExecutor(8) as callers:
            assert set(callers.map(ask, range(60))) == {200}
            assert {counted() for _ in range(10)} == {60}
            killed = workers()
            os.kill(killed[0], signal.SIGKILL)
            wait_until(
                lambda: killed[0] not in workers() and len(workers()) >= 2,
                seconds=20,
                what="another worker in its place",
            )
            assert set(callers.map(ask, range(40))) == {200}
            assert {counted() for _ in range(10)} == {100}


def expressions(document: object) -> list[str]:
    """Return every `expr` in a dashboard."""
    if isinstance(document, list):
        return [found for each in document for found in expressions(each)]
    if not isinstance(document, dict):
        return []
    own = [document["expr"]] if "expr" in document else []
    return own + [found for each in document.values() for found in expressions(each)]


def test_dashboard_and_alerts_ask_only_for_what_is_told(client: TestClient) -> None:
    there = names_in(client.get("/metrics").text)
    dashboard = json.loads((DEPLOY / "grafana/dashboards/treeline.json").read_text())
    asked = set(NAME.findall(" ".join(expressions(dashboard))))
    alerted = set(NAME.findall((DEPLOY / "prometheus/alerts.yml").read_text()))
    assert len(asked) > 10 and len(alerted) > 5
    assert asked | alerted <= there


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("check", [("config", "prometheus.yml"), ("rules", "alerts.yml")])
def test_prometheus_accepts_its_files(check: tuple[str, str]) -> None:
    command = ["promtool", "check", check[0], str(DEPLOY / "prometheus" / check[1])]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
