"""What is damaged, odd or refused is set aside and told, and holds up nothing else."""

import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.prediction_log.database import Database, url_of
from api.prediction_log.log import BatchDraft
from api.prediction_log.rows import LAYOUT, RowsFrame
from api.prediction_log.shipping import LogShipper
from api.prediction_log.spool import LINES, ROWS, Segment, Spool
from api.prediction_log.writing import Redaction, Writer
from tests.recorded import counting, ids_in
from tests.tiny_models import DIABETES, write_model
from treeline.contract.encoding import Encoder


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "state")
    alive = spool.create()
    yield spool
    alive.release()


def ship(spool: Spool) -> list[str]:
    """Take the spool to a database and return the ids in it."""
    folder = spool.folder.parent
    shipping = LogShipper(
        spool, Database(url_of(None, folder)), recent=counting(folder), retention_days=0
    )
    while shipping.step():
        pass
    return ids_in(folder / "predictions.sqlite")


def put(spool: Spool, kind: str, payload: bytes) -> Path:
    segment = Segment.draft(spool.folder, owner="tests", kind=kind)
    segment.append(payload)
    segment.publish()
    segment.close()
    return segment.path


def line(name: Any, **changed: Any) -> bytes:
    answer = {"Event": 1.0, "probability": 0.75, "id": name, "model": "m", "version": "v"}
    answer |= changed.pop("answer", {})
    entry = {"time": 1.0, "latency": 0.5, "features": {}, "answer": answer} | changed
    return json.dumps(entry).encode()


def frame(tmp_path: Path, prefix: str, rows: int = 3) -> bytes:
    signature = write_model(tmp_path / "model", DIABETES)
    return RowsFrame(
        time=1.0,
        latency_seconds=0.5,
        id_prefix=prefix,
        numbers=np.arange(rows),
        matrix=Encoder(DIABETES.features).matrix([dict(DIABETES.example)] * rows),
        values=np.zeros(rows, np.float32),
    ).to_bytes(signature)


ODD = [
    b"not JSON",
    b'{"time": 2, "torn',
    b"5",
    b'"feedback"',
    b"[]",
    b"null",
    b'{"feedback": []}',
    b'{"feedback": {"id": 7, "truth": 1}, "time": 1}',
    b'{"feedback": {"id": "x", "truth": 1}, "time": "now"}',
    b'{"feedback": {"id": "x", "truth": 1}, "time": NaN}',
    b'{"time":1,"latency":1,"features":{},"answer":[]}',
    line({"a": 1}),
    line(None),
    line("x", time=True),
    line("x", time=None),
    line("x", latency="long"),
    line("x", answer={"version": 10**30}),
    line("x", answer={"probability": "high"}),
    b'{"time":1,"latency":1,"features":{},"answer":{"id":"\\ud800","model":"m","version":"v"}}',
    b"\xff\xfe",
    b"[" * 100_000,
]


@pytest.mark.parametrize("odd", ODD, ids=[repr(each[:60]) for each in ODD])
def test_an_odd_line_is_set_aside_and_holds_up_none_of_those_behind_it(
    spool: Spool, odd: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    put(spool, LINES, line("before") + b"\n" + odd + b"\n" + line("behind") + b"\n")
    put(spool, LINES, line("later", time=2.0) + b"\n")
    assert sorted(ship(spool)) == ["before", "behind", "later"]
    assert spool.segments(LINES) == []
    kept = spool.folder.parent / "refused-lines.jsonl"
    assert kept.read_bytes() == odd + b"\n"
    assert "1 lines of the prediction log cannot be read" in caplog.text
    assert spool.set_aside() == 1


HARMS = {
    "a byte of the arrays": lambda whole: whole[:-3] + b"X" + whole[-2:],
    "a byte of the header": lambda whole: (
        whole[: LAYOUT.size + 5] + b"X" + whole[LAYOUT.size + 6 :]
    ),
    "the length": lambda whole: whole[:4] + b"\xff\xff\xff\x7f" + whole[8:],
    "the magic": lambda whole: b"XXXX" + whole[4:],
    "its end": lambda whole: whole[:-3],
    "zeros": lambda whole: bytes(len(whole)),
    "all but its lead": lambda whole: whole[: LAYOUT.size],
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_frame_costs_its_own_rows_and_its_segment_is_kept_and_told(
    spool: Spool, tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    payload = frame(tmp_path, "a") + HARMS[harm](frame(tmp_path, "b")) + frame(tmp_path, "c")
    damaged = put(spool, ROWS, payload)
    put(spool, ROWS, frame(tmp_path, "d"))
    expected = [f"{batch}-{row}" for batch in "acd" for row in range(3)]
    assert sorted(ship(spool)) == expected
    assert spool.segments(ROWS) == []
    kept = spool.folder.parent / f"refused-{damaged.name}"
    assert kept.read_bytes() == payload
    assert "damaged" in caplog.text and str(kept) in caplog.text
    assert spool.set_aside() == 1


@pytest.mark.parametrize("kind", [LINES, ROWS])
def test_what_is_set_aside_stays_in_the_spool_until_the_disk_confirms_it(
    spool: Spool, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm = HARMS["a byte of the arrays"]
    payload = b"not JSON\n" if kind == LINES else harm(frame(tmp_path, "a"))
    put(spool, kind, payload)

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            ship(spool)
    (segment,) = spool.segments(kind)
    assert segment.read_bytes() == payload
    ship(spool)
    assert spool.segments(kind) == []


def test_how_many_rows_are_missing_is_told(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = frame(tmp_path, "a", rows=20_000)
    put(spool, ROWS, whole[:-3] + b"X" + whole[-2:])
    with caplog.at_level(logging.ERROR):
        assert ship(spool) == []
    assert "at least 20000 rows" in caplog.text


def test_many_small_batches_share_a_segment(spool: Spool, tmp_path: Path) -> None:
    writer = Writer(spool, redaction=Redaction(()), most_bytes=1 << 30)
    writer.look()
    for number in range(50):
        draft = BatchDraft(spool, writer)
        draft.add(frame(tmp_path, f"b{number}", rows=2))
        draft.commit()
    assert len(spool.segments(ROWS)) == 1
    writer.rotate(now=True)
    assert len(ship(spool)) == 100
    assert writer.lost_total == 0


def test_a_crowd_of_segments_is_listed_a_few_times_only(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = put(spool, ROWS, frame(tmp_path, "b", rows=2))
    for number in range(1, 2000):
        copied = template.with_name(template.name.replace("-tests-", f"-{number:05d}-"))
        copied.write_bytes(template.read_bytes())
    listed = []
    look = Spool.look

    def counted(self: Spool, **asked: Any) -> Any:
        listed.append(1)
        return look(self, **asked)

    monkeypatch.setattr(Spool, "look", counted)
    assert len(ship(spool)) == 2
    assert len(listed) < 2000 / 50
