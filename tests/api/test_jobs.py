"""Training jobs as the service takes them: who may, what is refused, what a runner is given."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.http.keyring import JOBS, new_key
from api.jobs.adoption import LOOK_SECONDS
from api.settings import Settings
from tests.tiny_graphs import identity, scaled
from tests.waiting import wait_until
from treeline.jobs.documents import Ending, Run, new_id
from treeline.jobs.spool import LOG, MODEL, RUN_FILE, Spool, write_document

NAMES = ("ann", "ben")
KEYS = {name: new_key(name, scopes=frozenset({JOBS, "write"})) for name in NAMES}
KEYS["all"] = new_key("all")
ANN, BEN = ({"X-API-Key": KEYS[name][0]} for name in NAMES)
SCRIPT = {"script": "print(1)"}
TABLE = {"declaration": "target: {name: y}", "dataset": "x,y\n1,2\n"}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def spool(state: Path) -> Spool:
    return Spool(state / "jobs")


@pytest.fixture
def client(models: Path, state: Path) -> Iterator[TestClient]:
    with desk(models, state) as client:
        yield client


def desk(models: Path, state: Path, /, **settings: Any) -> TestClient:
    keys = ",".join(line for _, line in KEYS.values())
    given = {"model_dir": models, "state_dir": state, "keys": keys, "jobs": True}
    given |= {"prediction_log": False, "jobs_waiting": 3, "jobs_per_key": 2, "jobs_ended": 2}
    return TestClient(create_app(Settings.model_validate(given | settings)))


def order(
    client: TestClient,
    files: Mapping[str, str | bytes] = SCRIPT,
    *,
    headers: dict[str, str] = ANN,
    **texts: Any,
) -> Any:
    sent: dict[str, Any] = {name: (name, content) for name, content in files.items()}
    data = {"model": "mine", **texts}
    return client.post("/v1/jobs", data=data, files=sent or {"x": b""}, headers=headers)


def test_a_job_is_ordered_listed_read_and_cancelled(client: TestClient, spool: Spool) -> None:
    made = order(client, TABLE)
    assert made.status_code == 202, made.text
    job = made.json()
    assert (job["state"], job["kind"], job["model"]) == ("queued", "declaration", "mine")
    assert made.headers["location"] == f"/v1/jobs/{job['id']}"
    folder = spool.root / "queued" / job["id"] / "input"
    assert (folder / "dataset").read_text() == TABLE["dataset"]
    assert set(job["files"]) == {"declaration.yaml", "dataset"}
    listed = client.get("/v1/jobs", headers=ANN).json()
    assert listed == {"jobs": [job], "runner_seen": None}
    assert client.get(f"/v1/jobs/{job['id']}/log?follow=false", headers=ANN).text == ""
    cancelled = client.delete(f"/v1/jobs/{job['id']}", headers=ANN)
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    again = client.delete(f"/v1/jobs/{job['id']}", headers=ANN)
    assert (again.status_code, again.json()["type"].rpartition(":")[2]) == (409, "job-over")


def test_a_job_is_seen_by_keys_of_its_owner_alone(client: TestClient) -> None:
    id = order(client).json()["id"]
    assert client.get("/v1/jobs", headers=BEN).json()["jobs"] == []
    for method, path in (("GET", ""), ("GET", "/log"), ("DELETE", "")):
        answer = client.request(method, f"/v1/jobs/{id}{path}", headers=BEN)
        assert answer.status_code == 404, path
    assert client.get(f"/v1/jobs/{id}", headers=ANN).json()["state"] == "queued"


def test_only_a_key_that_names_the_scope_may_order(client: TestClient) -> None:
    assert order(client, headers={"X-API-Key": KEYS["all"][0]}).status_code == 403
    assert order(client, headers={}).status_code == 401
    assert client.get("/v1/jobs").status_code == 401


def test_jobs_are_off_unless_they_are_asked_for(models: Path, state: Path) -> None:
    with desk(models, state, jobs=False) as client:
        assert order(client).status_code == 404
        assert client.get("/v1/jobs", headers=ANN).status_code == 404
        assert not [path for path in client.get("/openapi.json").json()["paths"] if "jobs" in path]


@pytest.mark.parametrize(
    ("files", "texts", "place"),
    [
        ({}, {}, "form"),
        ({"dataset": "1"}, {}, "script"),
        ({**SCRIPT, **TABLE}, {}, "script"),
        ({"declaration": "{}"}, {}, "dataset"),
        ({**TABLE, "requirements": "numpy"}, {}, "requirements"),
        ({**SCRIPT, "../../x": "1"}, {}, "form"),
        (SCRIPT, {"model": "../x"}, "model"),
        (SCRIPT, {"model": "My Model"}, "model"),
        (SCRIPT, {"network": "yes"}, "network"),
        ({"script": b"\xff\xfe"}, {}, "script"),
        ({"script": "#" * (1 << 20) + "x"}, {}, "script"),
    ],
)
def test_a_form_that_is_no_job_is_refused_and_leaves_nothing(
    client: TestClient, spool: Spool, files: dict[str, Any], texts: dict[str, Any], place: str
) -> None:
    answer = order(client, files, **texts)
    assert answer.status_code == 422, answer.text
    assert place in {each["field"] for each in answer.json()["errors"]}
    assert [path for path in spool.root.rglob("*") if path.is_file() and path.suffix] == []


def test_a_body_over_its_limit_and_another_kind_of_body_are_refused(
    models: Path, state: Path
) -> None:
    with desk(models, state, max_job_bytes=1000) as client:
        assert order(client, {**SCRIPT, "dataset": "x" * 70_000}).status_code == 413
        answer = client.post("/v1/jobs", json={"model": "mine"}, headers=ANN)
        assert answer.status_code == 415


def test_names_of_others_are_refused(client: TestClient) -> None:
    assert order(client, model="iris").status_code == 409  # exported
    body = scaled(2).SerializeToString()
    assert client.put("/v1/models/theirs", content=body, headers=BEN).status_code == 201
    answer = order(client, model="theirs")
    assert answer.status_code == 409 and "by a job of another key" in answer.json()["detail"]


def test_there_may_be_so_many_jobs_of_a_key_and_of_all(client: TestClient) -> None:
    assert [order(client).status_code for _ in range(3)] == [202, 202, 429]
    full = order(client, headers=BEN), order(client, headers=BEN)
    assert [each.status_code for each in full] == [202, 429]
    assert "API_JOBS_WAITING" in full[1].json()["detail"]
    assert int(full[1].headers["retry-after"]) > 0


def test_what_was_sent_is_dropped_once_a_job_has_ended(client: TestClient, spool: Spool) -> None:
    running, cancelled = (order(client).json()["id"] for _ in range(2))
    assert spool.claim() is not None
    client.delete(f"/v1/jobs/{cancelled}", headers=ANN)
    folder = spool.root / "ended" / cancelled
    wait_until(lambda: not (folder / "input").exists(), seconds=30, what="the inputs are dropped")
    assert (folder / "job.json").exists()
    assert client.get(f"/v1/jobs/{cancelled}", headers=ANN).json()["files"].keys() == {"script.py"}
    assert (spool.root / "running" / running / "input" / "script.py").exists()


def test_what_was_sent_stays_where_a_setting_says_so(
    models: Path, state: Path, spool: Spool
) -> None:
    with desk(models, state, jobs_keep_inputs=True) as client:
        id = order(client).json()["id"]
        client.delete(f"/v1/jobs/{id}", headers=ANN)
        time.sleep(3 * LOOK_SECONDS)
        assert (spool.root / "ended" / id / "input" / "script.py").exists()


def test_of_jobs_that_have_ended_the_newest_stay(client: TestClient, spool: Spool) -> None:
    ids = []
    for _ in range(5):
        ids.append(order(client).json()["id"])
        client.delete(f"/v1/jobs/{ids[-1]}", headers=ANN)
    assert spool.ids("ended") == ids[2:]  # two, and the one that came after the last look


def test_a_log_is_followed_for_so_long_and_among_the_streams(client: TestClient) -> None:
    services = client.app.services  # type: ignore[attr-defined]
    path = f"/v1/jobs/{order(client).json()['id']}/log?follow=true"
    services.desk.follow_seconds = 0.1
    assert client.get(path, headers=ANN).text == ""  # of a job that waits for a runner
    services.load.streams = services.load.most_streams
    assert client.get(path, headers=ANN).status_code == 503
    services.load.streams = 0
    assert client.get(path, headers=ANN).status_code == 200


def ran(spool: Spool, id: str, payload: bytes | None) -> None:
    """Do to a job what a runner does."""
    job = spool.claim()
    assert job is not None and job.order.id == id
    write_document(job.folder / RUN_FILE, Run(image="sha256:1", started=datetime.now(UTC)))
    (job.folder / LOG).write_bytes(b"half of \xc3")
    if payload is not None:
        (job.folder / MODEL).write_bytes(payload)
    spool.move(id, "running", "checking")


def settled(client: TestClient, id: str) -> Any:
    def state() -> str:
        return str(client.get(f"/v1/jobs/{id}", headers=ANN).json()["state"])

    wait_until(lambda: state() in ("done", "failed"), seconds=60, what="it has ended")
    return client.get(f"/v1/jobs/{id}", headers=ANN).json()


def test_what_a_job_made_is_served_replaced_by_its_owner_and_by_nobody_else(
    client: TestClient, spool: Spool
) -> None:
    for factor in (2, 3):
        id = order(client).json()["id"]
        ran(spool, id, scaled(factor).SerializeToString())
        job = settled(client, id)
        assert job["state"] == "done"
        answer = client.post("/v1/models/mine/predict", json={"values": [1]})
        assert answer.json()["values"] == [factor]
        card = client.get("/v1/models/mine").json()
        assert (card["version"], card["job"]["id"]) == (job["version"], id)
        assert (
            client.get(f"/v1/jobs/{id}/log", headers=ANN).text
            == "half of \N{REPLACEMENT CHARACTER}"
        )
    assert order(client, headers=BEN).status_code == 409
    body = identity([2]).SerializeToString()
    assert client.put("/v1/models/mine", content=body, headers=BEN).json()["job"] is None


def test_a_name_that_was_taken_meanwhile_and_a_model_that_is_refused_fail_the_job(
    client: TestClient, spool: Spool
) -> None:
    late, wrong = order(client).json()["id"], order(client, model="other").json()["id"]
    body = scaled(2).SerializeToString()
    client.put("/v1/models/mine", content=body, headers=BEN)
    ran(spool, late, body)
    ran(spool, wrong, b"\x80\x04 a pickle")
    assert settled(client, late)["reason"] == "name"
    refused = settled(client, wrong)
    assert (refused["reason"], "is a pickle" in refused["detail"]) == ("audit", True)
    assert client.get("/v1/models/other").status_code == 404


def test_a_job_whose_model_is_gone_fails_and_keeps_no_other_one_waiting(
    client: TestClient, spool: Spool
) -> None:
    gone, good = order(client).json()["id"], order(client, model="other").json()["id"]
    ran(spool, gone, None)
    ran(spool, good, scaled(2).SerializeToString())
    assert settled(client, gone)["reason"] == "output"
    assert settled(client, good)["state"] == "done"


def test_a_job_is_claimed_once_and_ends_once(spool: Spool, client: TestClient) -> None:
    id = order(client).json()["id"]
    other = Spool(spool.root)
    assert spool.claim() is not None and other.claim() is None
    ending = Ending(state="cancelled", ended=datetime.now(UTC))
    job = spool.find(id)
    assert job is not None
    spool.cancel(job, ending)  # as of a service that saw it queued just before
    found = spool.find(id)
    assert found is not None and (found.state, found.cancelling) == ("running", True)
    assert spool.find(new_id()) is None and spool.find("../../etc") is None
    spool.end(id, ending, place="running")
    with pytest.raises(FileNotFoundError):
        spool.end(id, ending, place="running")
    assert [path.name for path in (spool.root / "running").iterdir()] == []
