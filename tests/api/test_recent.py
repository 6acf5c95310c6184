"""How inputs and answers of the last day are spread: what the shipper counts, the metrics tell."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from api.prediction_log.clock import Clocks
from api.prediction_log.database import Database, url_of
from api.prediction_log.log import BatchDraft
from api.prediction_log.recent import (
    FILE,
    MOST_COLUMNS,
    STALE_SECONDS,
    Recent,
    RecentFeature,
    RecentRows,
    Signatures,
    Watched,
)
from api.prediction_log.rows import RowsFrame
from api.prediction_log.shipping import LogShipper
from api.prediction_log.spool import Spool
from api.prediction_log.writing import Redaction, Writer
from tests.api.test_metrics import told
from tests.recorded import counting
from tests.serving import serving
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, commit, write_model
from tests.waiting import wait_until
from treeline.contract.counts import stability
from treeline.contract.encoding import Encoder
from treeline.contract.features import Feature
from treeline.contract.signature import Distribution, Learnt, Signature

HOUR, DAY = 3600.0, 86_400.0
NOW = 1.9e9
LEARNT = Learnt(rows=1000)
REFERENCE = {
    "Species": Distribution(missing=0, shares=(0.25, 0.25, 0.25, 0.25)),
    "Light_ISF": Distribution(
        missing=0, shares=(0.5, 0.5), edges=(0.2,), mean=0.2, deviation=0.1, minimum=0, maximum=0.4
    ),
    "EMF": Distribution(
        missing=0, shares=(0.5, 0.5), edges=(10,), mean=10, deviation=5, minimum=0, maximum=20
    ),
    "Phenolics": Distribution(
        missing=0.1, shares=(0.5, 0.5), edges=(0,), mean=0, deviation=1, minimum=-3, maximum=3
    ),
    "Sterile": Distribution(missing=0, shares=(0.5, 0.5)),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models; one of them knows how the rows were spread that it learnt from."""
    root = tmp_path_factory.mktemp("models")
    write_model(root, SURVIVAL, reference=REFERENCE, learnt=LEARNT)
    write_model(root, IRIS)
    write_model(root, DIABETES, learnt=LEARNT)
    return root


@pytest.fixture
def signature(models: Path) -> Signature:
    return Signature.read(models / "tree-survival/signature.json")


class Time:
    """Clocks that a test sets; both stand still until then."""

    def __init__(self) -> None:
        self.wall, self.steady = NOW, 0.0

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.wall, lambda: self.steady)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clock() -> Time:
    return Time()


class Shipping:
    """What a shipper has that has just been started."""

    def __init__(self, spool: Spool, models: Path, clock: Time) -> None:
        self.folder, self._clock = spool.folder.parent, clock
        self._recent = counting(self.folder, models, clocks=clock.clocks)
        self._shipper = LogShipper(
            spool, Database(url_of(None, self.folder)), recent=self._recent, retention_days=0
        )

    def ship(self) -> RecentRows:
        """Take all there is to the database; return what is written a while later."""
        while self._shipper.step():
            pass
        self._clock.passes(60)
        self._shipper.step()
        return RecentRows.read(self.folder, now=self._clock.wall)


@pytest.fixture
def shipping(spool: Spool, models: Path, clock: Time) -> Shipping:
    return Shipping(spool, models, clock)


@pytest.fixture
def writer(spool: Spool) -> Writer:
    writer = Writer(spool, redaction=Redaction(()), most_bytes=1 << 30)
    writer.look()
    return writer


Records = list[dict[str, Any]]


def answered(
    writer: Writer, signature: Signature, records: Records, *, at: float = NOW, dead: int = 0
) -> None:
    """Record single predictions, of which the first `dead` have the class 1."""
    for number, record in enumerate(records):
        answer = {
            signature.target.name: float(number < dead),
            "probability": 0.5,
            "id": f"{at}-{number}",
            "model": signature.name,
            "version": signature.version,
        }
        writer.record((at, 0.001, json.dumps(record).encode(), json.dumps(answer).encode(), None))
    writer.flush(now=True)
    writer.rotate(now=True)


def batched(spool: Spool, writer: Writer, signature: Signature, records: Records) -> None:
    """Record a batch, all of class 0."""
    frame = RowsFrame(
        time=NOW,
        latency_seconds=0.1,
        id_prefix="batch",
        numbers=np.arange(len(records)),
        matrix=Encoder(signature.features).matrix(records),
        labels=np.zeros(len(records), dtype=np.int64),
        scores=np.full((len(records), 2), 0.5, dtype=np.float32),
    )
    draft = BatchDraft(spool, writer)
    draft.add(frame.to_bytes(signature))
    draft.commit()
    writer.rotate(now=True)


RECORDS: Records = [
    {**SURVIVAL.example, "Light_ISF": 0.1 + 0.01 * number, "Species": species, "EMF": None,
     "Phenolics": None if number < 8 else -1.5}
    for number, species in enumerate(["Quercus rubra"] * 30 + ["Quercus alba"] * 10)
]  # fmt: skip


@pytest.mark.parametrize("way", ["single", "batch"])
def test_single_predictions_and_batches_are_counted_alike(
    way: str, spool: Spool, writer: Writer, shipping: Shipping, signature: Signature
) -> None:
    if way == "single":
        answered(writer, signature, RECORDS)
    else:
        batched(spool, writer, signature, RECORDS)
    (version,) = shipping.ship().versions
    assert (version.model, version.version, version.rows) == (
        "tree-survival",
        signature.version,
        40,
    )
    assert version.classes == {"0": 1.0} and version.mean == 0.5
    features = version.features
    assert set(features) == set(REFERENCE)  # nothing of one that has no reference
    light, phenolics = features["Light_ISF"], features["Phenolics"]
    assert light.beyond == pytest.approx(9 / 40)
    assert light.moved == pytest.approx((0.295 - 0.2) / 0.1)
    assert light.psi == stability(np.array([500, 500]), np.array([10, 30]))
    assert (phenolics.missing, phenolics.missing_before) == (0.2, 0.1)
    assert light.missing is None  # a record without it is refused
    assert features["EMF"] == RecentFeature(
        beyond=0, psi=stability(np.array([500, 500]), np.array([40, 0])), moved=-2
    )
    species = features["Species"].psi
    assert species == stability(np.full(4, 250), np.array([0, 0, 10, 30]))


def test_the_window_slides_and_what_lies_outside_it_does_not_count(
    writer: Writer, shipping: Shipping, signature: Signature, clock: Time
) -> None:
    for hours in (-30, -20, 0, 0.5, 100):  # the last one as a clock left it that was ahead
        answered(writer, signature, RECORDS[:10], at=NOW + hours * HOUR)
    (version,) = shipping.ship().versions
    assert version.rows == 30
    clock.passes(10 * HOUR)
    (version,) = shipping.ship().versions
    assert version.rows == 20
    clock.passes(DAY)
    assert shipping.ship().versions == ()


def test_rows_that_wait_for_the_database_are_counted_once(
    spool: Spool, writer: Writer, shipping: Shipping, signature: Signature
) -> None:
    answered(writer, signature, RECORDS)
    batched(spool, writer, signature, RECORDS)
    file = shipping.folder / "predictions.sqlite"
    file.mkdir()
    for _ in range(3):
        with pytest.raises(Exception, match="database"):
            shipping.ship()
    file.rmdir()
    (version,) = shipping.ship().versions
    assert version.rows == 80


def test_labels_and_values_are_told_of_any_task(
    writer: Writer, shipping: Shipping, signature: Signature, models: Path
) -> None:
    answered(writer, signature, RECORDS, dead=10)
    diabetes = Signature.read(models / "diabetes/signature.json")
    answered(writer, diabetes, [dict(DIABETES.example)] * 4, dead=1)
    survival, progression = shipping.ship().versions
    assert survival.classes == {"0": 0.75, "1": 0.25}
    assert (progression.classes, progression.mean) == ({}, 0.25)


def test_what_is_redacted_or_of_no_known_version_is_not_counted(
    spool: Spool, models: Path, signature: Signature
) -> None:
    folder = spool.folder.parent
    row = {"features": RECORDS[0], "prediction": 0.0, "probability": 0.5, "time": NOW}
    recent = Recent(
        folder, Signatures(models, folder), Redaction(["Light_ISF"]).of, clocks=Clocks(lambda: NOW)
    )
    rows = [
        row | {"model": "tree-survival", "version": signature.version},
        row | {"model": "tree-survival", "version": "0" * 12},
        row | {"model": "../tree-survival", "version": signature.version},
    ]
    (((key, _), tally),) = recent.counted(rows).items()
    assert key == ("tree-survival", signature.version)
    assert "Light_ISF" not in tally.features and "Species" in tally.features


@pytest.mark.parametrize(
    "odd",
    [
        {"features": None},
        {"features": {}},
        {"features": {"Light_ISF": "a lot", "Species": 7, "EMF": [1], "Phenolics": 1e999}},
        {"prediction": None, "probability": None},
        {"prediction": {"several": 1}, "probability": True},
    ],
)
def test_a_row_that_is_odd_harms_no_other(odd: dict[str, Any], signature: Signature) -> None:
    recent = Recent(
        Path("nowhere"), lambda *_: signature, Redaction(()).of, clocks=Clocks(lambda: NOW)
    )
    row = {"model": "tree-survival", "version": signature.version, "time": NOW, "prediction": 1.0}
    row |= {"features": RECORDS[-1], "probability": 0.5}
    (tally,) = recent.counted([row, row | odd]).values()
    assert tally.rows == 2 and tally.features["Light_ISF"].known >= 1 and tally.labels["1"] >= 1


def test_however_many_models_answer_the_series_are_bounded(tmp_path: Path) -> None:
    names = [f"f{number}" for number in range(MOST_COLUMNS // 2)]
    reference = {
        name: Distribution(missing=0, shares=(0.5, 0.5), edges=(0,), minimum=-1, maximum=1)
        for name in names
    }
    wide = write_model(tmp_path / "one", DIABETES).model_copy(
        update={"features": dict.fromkeys(names, Feature(type="number")), "reference": reference}
    )
    for number in range(3):
        commit(tmp_path, wide.model_copy(update={"name": f"wide-{number}"}))
    clock = Time()
    recent = counting(tmp_path, tmp_path, clocks=clock.clocks)

    def counted_models(at: float, *numbers: int) -> list[str]:
        row = {"version": wide.version, "features": {}, "prediction": 1.0, "time": at}
        rows = [row | {"model": f"wide-{number}"} for number in numbers]
        recent.add(recent.counted(rows))
        clock.passes(60)
        recent.write()
        return [each.model for each in RecentRows.read(tmp_path, now=clock.wall).versions]

    assert counted_models(NOW, 0, 1, 2) == ["wide-0", "wide-1"]
    clock.passes(2 * DAY)
    recent.write()
    assert counted_models(clock.wall, 2) == ["wide-2"]  # there is room again


def test_a_state_folder_that_was_removed_is_not_made_again(tmp_path: Path) -> None:
    counting(tmp_path / "gone").write()
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"time": 1, "versions": []}', b'{"time": 1900000000, "more": 1}']
)
def test_a_file_of_a_shipper_that_is_gone_tells_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert RecentRows.read(tmp_path, now=NOW) == RecentRows(time=NOW)
    own = RecentRows(time=NOW - STALE_SECONDS / 2)
    (tmp_path / FILE).write_text(own.model_dump_json())
    assert RecentRows.read(tmp_path, now=NOW) == own


def test_a_reference_that_does_not_fit_its_feature_is_left_out(signature: Signature) -> None:
    reference = REFERENCE | {"Species": Distribution(missing=0, shares=(1.0,))}
    watched = Watched.of(signature.model_copy(update={"reference": reference}), frozenset())
    assert set(watched.bins) == set(REFERENCE) - {"Species"}


@pytest.fixture
def service(models: Path, tmp_path: Path) -> Iterator[httpx2.Client]:
    with (
        serving(models, tmp_path / "log", WEB_CONCURRENCY="2") as service,
        httpx2.Client(base_url=service.url, headers={"Connection": "close"}, timeout=20) as caller,
    ):
        yield caller


def test_every_worker_tells_the_same_of_what_all_have_answered(service: httpx2.Client) -> None:
    for number in range(12):
        record = {**SURVIVAL.example, "Light_ISF": 0.5 if number < 3 else 0.1}
        assert service.post("/v1/predict", json=record).status_code == 200
    batch = [dict(SURVIVAL.example)] * 8
    assert service.post("/v1/models/tree-survival/predict/batch", json=batch).status_code == 200

    def rows() -> float:
        return told(service.get("/metrics").text, "treeline_recent_rows", model="tree-survival")

    wait_until(lambda: rows() == 20, seconds=30, what="the shipper has counted all of them")
    for _ in range(6):
        text = service.get("/metrics").text
        light = {"model": "tree-survival", "feature": "Light_ISF"}
        assert told(text, "treeline_recent_rows") == 20
        assert told(text, "treeline_recent_beyond_ratio", **light) == pytest.approx(3 / 20)
        assert told(text, "treeline_recent_class_ratio", model="tree-survival") == 1
