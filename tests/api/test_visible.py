"""What strangers write is shown as what it is: in the log, in tables."""

import csv
import io
import json
import logging
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.http.echoes import without_formula
from api.prediction_log.exports import COLUMNS, csv_lines
from api.settings import Settings
from api.telemetry.logs import TEXT, JsonFormatter, TextFormatter
from tests.tiny_models import SURVIVAL

SHOWN = [
    ("\n", "\\x0a"),
    ("\r", "\\x0d"),
    ("\x1b[2J", "\\x1b[2J"),
    ("\x7f", "\\x7f"),
    ("\x85", "\\x85"),
    ("\x9b2J", "\\x9b2J"),
    ("\u2028", "\\u2028"),
    ("\u2029", "\\u2029"),
    ("\u061c", "\\u061c"),
    ("\u200e\u200f", "\\u200e\\u200f"),
    ("\u202a\u202b\u202c\u202d\u202e", "\\u202a\\u202b\\u202c\\u202d\\u202e"),
    ("\u2066\u2067\u2068\u2069", "\\u2066\\u2067\\u2068\\u2069"),
    ("\ufeff", "\\ufeff"),
    ("\ud800", "\\ud800"),
    ("árbol\t树 🌲", "árbol\t树 🌲"),
]


def record(message: str, *, failed: Exception | None = None) -> logging.LogRecord:
    info = None
    if failed is not None:
        try:
            raise failed
        except Exception:
            info = sys.exc_info()
    return logging.LogRecord("api.tests", logging.INFO, "here", 1, "%s", (message,), info)


@pytest.mark.parametrize(("said", "shown"), SHOWN, ids=[ascii(said) for said, _ in SHOWN])
def test_a_line_of_the_log_shows_all_that_is_in_it(said: str, shown: str) -> None:
    line = TextFormatter(TEXT).format(record(f"a{said}b"))
    assert line.endswith(f"a{shown}b") and len(line.splitlines()) == 1


@pytest.mark.parametrize("said", [said for said, _ in SHOWN], ids=ascii)
def test_a_line_of_json_says_the_same_and_shows_it(said: str) -> None:
    line = JsonFormatter().format(record(f"a{said}b"))
    assert json.loads(line)["message"] == f"a{said}b"
    assert len(line.splitlines()) == 1
    hidden = [each for each in line if not (each.isprintable() or each == "\t")]
    assert hidden == []


@pytest.mark.parametrize("said", [said for said, _ in SHOWN], ids=ascii)
def test_an_exception_forges_no_line(said: str) -> None:
    forged = f"{said}2030-01-01 INFO api: all is well"
    for line in (
        TextFormatter(TEXT).format(record("it failed", failed=ValueError(forged))).split("\n")[1:]
    ):
        assert line.startswith("    ") and len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        (
            '=HYPERLINK("http://elsewhere.example","x")',
            '\'=HYPERLINK("http://elsewhere.example","x")',
        ),
        ("+1+1", "'+1+1"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("'=1", "''=1"),
        ("''-a", "'''-a"),
        ("-", "'-"),
        ("-1.5", "-1.5"),
        ("+2", "+2"),
        ("-1e-07", "-1e-07"),
        ("-.5", "-.5"),
        ("-1.5 or so", "'-1.5 or so"),
        ("'s-Hertogenbosch", "'s-Hertogenbosch"),
        ("a=b", "a=b"),
        ("", ""),
    ],
    ids=ascii,
)
def test_a_cell_is_no_formula_and_tells_its_text(text: str, cell: str) -> None:
    assert without_formula(text) == cell
    assert cell == text or cell == "'" + text


def test_an_export_in_csv_has_no_formula_in_any_column() -> None:
    formula = "=HYPERLINK(1)"
    row = dict.fromkeys(COLUMNS, formula) | {"time": 1.0, "truth_time": None}
    row |= {"probability": 0.5, "latency_seconds": 1e-05, "features": '{"a":"=1"}'}
    row |= {"prediction": json.dumps("-a"), "truth": "-1.5"}
    written = b"".join(csv_lines(iter([[row]]), Path())).decode()
    (values,) = csv.DictReader(io.StringIO(written))
    assert values["id"] == values["model"] == "'" + formula
    assert (values["prediction"], values["truth"]) == ("'-a", "-1.5")
    assert (values["probability"], values["latency_seconds"]) == ("0.5", "1e-05")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "@x", "-x"])
def test_a_batch_in_csv_repeats_no_formula_of_a_stranger(models: Path, name: str) -> None:
    settings = Settings(model_dir=models, prediction_log=False)
    with TestClient(create_app(settings)) as client:
        answer = client.post(
            "/v1/predict/batch",
            params={"bad_rows": "report", "extra": "refuse"},
            json=[{**SURVIVAL.example, name: 1}, {**SURVIVAL.example, "Phenolics": -1.5}],
            headers={"Accept": "text/csv"},
        )
    assert answer.status_code == 200, answer.text
    bad, good = csv.DictReader(io.StringIO(answer.text))
    assert name in bad["error"] and bad["error"].startswith("'")
    assert float(good["Event"]) in (0.0, 1.0)
