"""A running service, asked whether it serves what was shipped."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.serving import free_port, serving
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, write_model
from treeline.contract.signature import Signature
from treeline.deployment.acceptance import (
    Caller,
    complaints,
    signatures_of,
    wait_until_served,
)
from treeline.errors import DeploymentError, NotAdmittedError

LABELS = replace(IRIS, name="labels", probabilities=False)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[Signature]]]:
    """The URL of a service with a model of every kind, and the signatures it was given."""
    root = tmp_path_factory.mktemp("checkout")
    for recipe in (DIABETES, IRIS, LABELS, SURVIVAL):
        write_model(root / "model", recipe)
    with serving(root / "model", root / "log") as running:
        yield running.url, signatures_of(root)


def changed(signatures: list[Signature], name: str, /, **update: object) -> list[Signature]:
    return [each.model_copy(update=update) if each.name == name else each for each in signatures]


def scored(signatures: list[Signature], name: str, *scores: float) -> list[Signature]:
    [example] = [each.example for each in signatures if each.name == name]
    return changed(signatures, name, example=example.model_copy(update={"scores": scores}))


def test_a_service_that_serves_what_was_shipped_is_not_complained_of(
    service: tuple[str, list[Signature]],
) -> None:
    url, signatures = service
    assert complaints(url + "/", signatures) == []
    wait_until_served(url, signatures, seconds=0)


def test_another_version_is_complained_of(service: tuple[str, list[Signature]]) -> None:
    url, signatures = service
    [served] = [each.version for each in signatures if each.name == "iris"]
    assert complaints(url, changed(signatures, "iris", version="0" * 12)) == [
        f"GET /readyz: iris: served is {served}, expected is {'0' * 12}"
    ]


def test_a_missing_model_and_one_too_many_are_complained_of(
    service: tuple[str, list[Signature]],
) -> None:
    url, signatures = service
    found = complaints(url, changed(signatures, "iris", name="lily"))
    assert [complaint.split(": ")[1] for complaint in found] == ["iris", "lily"]
    assert "expected is no such model" in found[0]
    assert "served is no version" in found[1]


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("tree-survival", (0.001, 0.999)),
        ("iris", (0.999, 0.0005, 0.0005)),
        ("labels", (2.0,)),
        ("diabetes", (-54.5,)),
    ],
)
def test_a_prediction_other_than_the_exported_one_is_complained_of(
    service: tuple[str, list[Signature]], name: str, scores: tuple[float, ...]
) -> None:
    url, signatures = service
    found = complaints(url, scored(signatures, name, *scores))
    asked = [f"POST /v1/models/{name}/predict"] + ["POST /v1/predict"] * (name == "tree-survival")
    assert [complaint.split(": ")[0] for complaint in found] == asked
    assert f"got {list(scores)} when exported" in found[0]


def test_a_prediction_that_differs_by_rounding_is_not_complained_of(
    service: tuple[str, list[Signature]],
) -> None:
    url, signatures = service
    [value] = next(each for each in signatures if each.name == "diabetes").example.scores
    assert complaints(url, scored(signatures, "diabetes", value * (1 + 5e-5))) == []


def test_a_service_that_is_not_ready_says_why(tmp_path: Path) -> None:
    signature = write_model(tmp_path / "shipped", IRIS)
    write_model(tmp_path / "model", IRIS)
    (tmp_path / "model" / "iris" / "artifact" / "model.onnx").write_bytes(b"broken")
    with serving(tmp_path / "model", tmp_path / "log") as running:
        [complaint] = complaints(running.url, [signature])
    assert complaint.startswith("GET /readyz: 503")
    assert "iris" in complaint


def test_who_is_let_in_asks_and_who_is_not_hears_which_setting_it_is(tmp_path: Path) -> None:
    signature = write_model(tmp_path / "model", SURVIVAL)
    line = f"somebody:sha256:{hashlib.sha256(b'secret').hexdigest()}"
    strict = {
        "API_KEYS": line,
        "API_PREDICTIONS_OPEN": "false",
        "API_ALLOWED_HOSTS": "tree.example",
        "API_REQUESTS_PER_SECOND": "1",  # the model and the default one are asked: that is too many
        "WEB_CONCURRENCY": "1",
    }
    with serving(tmp_path / "model", tmp_path / "log", **strict) as running:
        for caller, setting in (
            (Caller(), "API_ALLOWED_HOSTS"),
            (Caller(host="tree.example"), "key_file"),
            (Caller(host="tree.example", key="another"), "key_file"),
        ):
            with pytest.raises(NotAdmittedError, match=setting):
                complaints(running.url, [signature], caller=caller)
        right = Caller(host="tree.example", key="secret")
        assert complaints(running.url, [signature], caller=right) == []


def test_after_its_time_the_last_complaints_are_told(
    service: tuple[str, list[Signature]],
) -> None:
    url, signatures = service
    other = changed(signatures, "iris", version="0" * 12)
    with pytest.raises(DeploymentError, match=r"(?s)after 0\.1 seconds:\n- GET /readyz: iris"):
        wait_until_served(url, other, seconds=0.1, pause=0.02)


def test_where_nothing_answers_the_reason_is_told(service: tuple[str, list[Signature]]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(DeploymentError, match=r"no answer: .*refused"):
        wait_until_served(url, service[1], seconds=0)


def test_a_malformed_url_is_told(service: tuple[str, list[Signature]]) -> None:
    [complaint] = complaints("localhost", service[1])
    assert complaint == "GET /readyz: no answer: the URL or a header is malformed"


def test_what_has_ended_is_not_waited_for(service: tuple[str, list[Signature]]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(DeploymentError, match="has ended"):
        wait_until_served(url, service[1], seconds=600, ended=lambda: True)


def test_a_checkout_without_models_has_nothing_to_ship(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="make repro"):
        signatures_of(tmp_path)
