"""Between memory and database: frames of batches, segments, replays, retention."""

import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.prediction_log.database import Database, url_of
from api.prediction_log.log import BatchDraft
from api.prediction_log.rows import Damage, RowsFrame, read_frames, rows_of
from api.prediction_log.shipper import run
from api.prediction_log.shipping import LogShipper
from api.prediction_log.spool import LINES, Spool
from api.prediction_log.writing import Redaction, TruthEntry, Writer, feedback_line
from tests.recorded import counting, ids_in, postgresql, rows_in
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, Recipe, write_model
from treeline.contract.encoding import Encoder
from treeline.contract.signature import Signature

DAY_SECONDS = 86_400
MOST_BYTES = 1_000_000


@pytest.fixture
def writer(spool: Spool) -> Writer:
    writer = Writer(spool, redaction=Redaction(()), most_bytes=MOST_BYTES)
    writer.look()
    return writer


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Database]]:
    """Each kind of database: where it is, and the same opened."""
    if request.param == "SQLite":
        yield tmp_path / "predictions.sqlite", Database(url_of(None, tmp_path))
        return
    with postgresql() as name:
        url = f"postgresql://postgres@127.0.0.1:5432/{name}"
        opened = Database(url_of(url, tmp_path))
        yield url, opened
        opened.doubt()


def signature_of(recipe: Recipe, tmp_path: Path) -> Signature:
    return write_model(tmp_path / "model", recipe)


def frame_of(recipe: Recipe, records: list[dict[str, Any]], **found: Any) -> RowsFrame:
    return RowsFrame(
        time=1000.5,
        latency_seconds=0.25,
        id_prefix="batch",
        numbers=np.arange(10, 10 + len(records)),
        matrix=Encoder(recipe.features).matrix(records),
        **found,
    )


def line(name: str, *, at: float) -> tuple[float, float, bytes, bytes, None]:
    """Return what a request for a prediction leaves."""
    answer = {"Event": 1.0, "probability": 0.75, "id": name, "model": "m", "version": "v"}
    return at, 0.001, b'{"EMF": 1}', json.dumps(answer).encode(), None


def ship(spool: Spool, database: Database, *, retention_days: float = 0) -> None:
    shipping = LogShipper(
        spool, database, recent=counting(spool.folder.parent), retention_days=retention_days
    )
    while shipping.step():
        pass


def test_a_frame_gives_back_what_the_model_was_asked(tmp_path: Path) -> None:
    records = [
        dict(SURVIVAL.example, Light_ISF=0.1, Leaves=7, Sterile=True),
        dict(SURVIVAL.example, Species="Quercus rubra", Phenolics=None, EMF=None),
    ]
    frame = frame_of(
        SURVIVAL,
        records,
        labels=np.array([0, 1]),
        scores=np.array([[0.9, 0.1], [0.25, 0.75]], dtype=np.float32),
    )
    signature = signature_of(SURVIVAL, tmp_path)
    (rows,) = rows_of(frame.to_bytes(signature, redact={"Leaves", "no feature"}))
    first, second = rows
    assert first == {
        "id": "batch-10",
        "time": 1000.5,
        "model": "tree-survival",
        "version": signature.version,
        "latency_seconds": 0.25,
        "features": records[0] | {"Leaves": None},
        "prediction": 0.0,
        "probability": 0.1,
        "probabilities": None,
        "key": None,
    }
    assert second["features"] == records[1] | {"Leaves": None, "EMF": 0}  # its fill
    assert (second["id"], second["prediction"], second["probability"]) == ("batch-11", 1.0, 0.75)
    assert type(first["features"]["Sterile"]) is bool


def test_a_frame_holds_classes_and_numbers_too(tmp_path: Path) -> None:
    shares = np.array([[0.5, 0.25, 0.25]], dtype=np.float32)
    classes = frame_of(IRIS, [dict(IRIS.example)], labels=np.array([0]), scores=shares)
    ((row,),) = rows_of(classes.to_bytes(signature_of(IRIS, tmp_path)))
    assert (row["prediction"], row["probability"]) == ("setosa", 0.5)
    assert row["probabilities"] == {"setosa": 0.5, "versicolor": 0.25, "virginica": 0.25}
    numbers = frame_of(DIABETES, [dict(DIABETES.example)], values=np.array([0.1], np.float32))
    ((row,),) = rows_of(numbers.to_bytes(signature_of(DIABETES, tmp_path)))
    assert (row["prediction"], row["probability"]) == (0.1, None)


@pytest.mark.parametrize(
    "keys",
    [["a", None, "x" * 100, "7"], [None] * 4, ["", "a", "", "b"], None],
    ids=["some", "none", "empty", "no keys"],
)
def test_a_frame_gives_back_the_keys_in_whatever_parts(
    tmp_path: Path, keys: list[str | None] | None
) -> None:
    rows = [dict(DIABETES.example)] * 4
    frame = frame_of(DIABETES, rows, values=np.zeros(4, np.float32), keys=keys)
    payload = frame.to_bytes(signature_of(DIABETES, tmp_path))
    for part_rows in (1, 3, 100):
        parts = list(rows_of(payload, part_rows=part_rows))
        found = [row["key"] for part in parts for row in part]
        assert found == [key or None for key in keys or [None] * 4]


@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_a_harmed_frame_costs_no_other_and_is_told(tmp_path: Path, harm: str) -> None:
    values = np.array([0.1], np.float32)
    frame = frame_of(DIABETES, [dict(DIABETES.example)], values=values)
    whole = frame.to_bytes(signature_of(DIABETES, tmp_path))
    harmed = whole[:-3] if harm == "cut" else whole[:-3] + b"abc"
    damage = Damage()
    assert list(read_frames(io.BytesIO(whole + harmed + whole), damage)) == [whole, whole]
    assert damage.rows == 1 and f"at byte {len(whole)}" in damage.reason


def test_a_batch_is_recorded_when_it_is_committed_and_only_then(
    spool: Spool, writer: Writer, database: tuple[Any, Database], tmp_path: Path
) -> None:
    place, opened = database
    signature = signature_of(DIABETES, tmp_path)
    rows = [dict(DIABETES.example)] * 12_000  # more than go to the database at once
    values = np.zeros(12_000, np.float32)
    frame = frame_of(DIABETES, rows, values=values).to_bytes(signature)
    given_up, recorded = BatchDraft(spool, writer), BatchDraft(spool, writer)
    for draft in (given_up, recorded):
        draft.add(frame)
    writer.rotate(now=True)
    ship(spool, opened)
    assert rows_in(place) == []
    given_up.discard()
    recorded.commit()
    writer.rotate(now=True)
    ship(spool, opened)
    assert sorted(ids_in(place)) == sorted(f"batch-{number}" for number in range(10, 12_010))
    assert [path.name for path in spool.folder.iterdir()] == ["alive"]
    assert writer.lost_total == 0


def test_a_batch_for_which_there_is_no_room_is_counted_as_lost(
    spool: Spool, writer: Writer, tmp_path: Path
) -> None:
    rows = [dict(DIABETES.example)] * 100_000
    frame = frame_of(DIABETES, rows, values=np.zeros(100_000, np.float32))
    draft = BatchDraft(spool, writer)
    draft.add(frame.to_bytes(signature_of(DIABETES, tmp_path)))
    draft.commit()
    assert writer.lost_total == 100_000


def test_a_segment_is_taken_when_its_writer_is_done_and_twice_does_no_harm(
    spool: Spool, writer: Writer, database: tuple[Any, Database]
) -> None:
    place, opened = database
    writer.record(line("first", at=1.0))
    writer.flush()
    ship(spool, opened)
    assert rows_in(place) == []
    writer.rotate(now=True)
    (segment,) = spool.segments(".jsonl")
    replayed = segment.read_bytes()
    ship(spool, opened)
    before = rows_in(place)
    assert [row["id"] for row in before] == ["first"]
    segment.write_bytes(replayed + b"not JSON\n" + b'{"time": 2, "torn')
    ship(spool, opened)
    assert rows_in(place) == before
    assert not segment.exists()


def test_what_the_database_never_takes_is_put_aside_and_holds_up_nothing(
    spool: Spool, writer: Writer, tmp_path: Path
) -> None:
    with postgresql() as name:
        url = f"postgresql://postgres@127.0.0.1:5432/{name}"
        opened = Database(url_of(url, tmp_path))
        for number, prediction_id in enumerate(("first", "no\0text", "last")):
            writer.record(line(prediction_id, at=number))
        writer.flush()
        writer.rotate(now=True)
        ship(spool, opened)
        assert ids_in(url) == ["first", "last"]
        opened.doubt()
    (refused,) = (tmp_path / "refused-predictions.jsonl").read_text().splitlines()
    assert json.loads(refused)["id"] == "no\0text"


def test_of_several_truths_the_latest_counts_in_whatever_order_they_come(
    spool: Spool, writer: Writer, database: tuple[Any, Database]
) -> None:
    _, opened = database
    for at, truth in ((5.0, "late"), (3.0, "early"), (5.0, "as late"), (4.0, "between")):
        writer.write(feedback_line(TruthEntry("", truth, id="x"), at=at), kind=LINES)
        writer.flush()
        writer.rotate(now=True)
        ship(spool, opened)
    with opened.engine.connect() as connection:
        (found,) = connection.exec_driver_sql("SELECT truth FROM feedback").scalars()
    assert json.loads(found) == "as late"


def test_the_shipper_ends_without_complaint_where_its_folder_is_removed(spool: Spool) -> None:
    def step() -> bool:
        shutil.rmtree(spool.folder)
        raise OSError("unable to open database file")

    run(spool, step)
    assert not spool.folder.exists()


def test_what_is_old_is_forgotten_with_its_truth(
    spool: Spool, writer: Writer, database: tuple[Any, Database]
) -> None:
    place, opened = database
    now = time.time()
    for name, days in (("old", 31), ("new", 29), ("newest", 0)):
        at = now - days * DAY_SECONDS
        writer.record(line(name, at=at))
        writer.write(feedback_line(TruthEntry("", 1, id=name), at=now), kind=LINES)
    old = feedback_line(TruthEntry("", 1, id="unknown"), at=now - 31 * DAY_SECONDS)
    writer.write(old, kind=LINES)
    writer.flush()
    writer.rotate(now=True)
    ship(spool, opened, retention_days=30)
    assert ids_in(place) == ["new", "newest"]
    with opened.engine.connect() as connection:
        assert list(connection.exec_driver_sql("SELECT id FROM feedback").scalars()) == [
            "new",
            "newest",
        ]
    ship(spool, opened, retention_days=0)
    assert ids_in(place) == ["new", "newest"]
