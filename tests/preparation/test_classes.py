"""Classes are those of the file: numbers without a point that nobody wrote, truths, texts."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from treeline.config.models import ModelSpec
from treeline.config.sources import FileSource
from treeline.preparation.encoding import encoded_target
from treeline.preparation.whole import Prepared, prepare
from treeline.sources.files import FileTables

BINARY, MANY = {"task": "binary"}, {"task": "multiclass"}
CASES = {
    "whole numbers": (MANY, ["5", "3", "10"], "[3, 5, 10]"),
    "whole numbers, some rows without": (MANY, ["5", "3", ""], "[3, 5]"),
    "whole numbers with a point": (MANY, ["5.0", "3.0", "3.0"], "[3, 5]"),
    "decimal numbers": (MANY, ["0.5", "1", "1"], "[0.5, 1.0]"),
    "large numbers": (MANY, ["1234567", "9007199254740992", "0"], "[0, 1234567, 9007199254740992]"),
    "truths": (MANY, ["true", "false", "true"], "[false, true]"),
    "truths in capitals": (MANY, ["TRUE", "FALSE", "TRUE"], "[false, true]"),
    "texts": (MANY, ["b", "a", "5"], '["5", "a", "b"]'),
    "versions": (MANY, ["1.10", "1.1", "1.2"], '["1.1", "1.10", "1.2"]'),
    "codes with zeros before": (MANY, ["05", "5", "10"], '["05", "10", "5"]'),
    "times": (MANY, ["08:30", "09:30", "8:30"], '["08:30", "09:30", "8:30"]'),
    "words of numbers": (MANY, ["1e3", "inf", "1_0"], '["1_0", "1e3", "inf"]'),
    "truths and others": (MANY, ["true", "false", "5"], '["5", "false", "true"]'),
    "0 and 1": (BINARY | {"positive": 1}, ["1", "0", "1"], "[0, 1]"),
    "0 and 1, declared with a point": (BINARY | {"positive": 1.0}, ["1", "0", "1"], "[0, 1]"),
    "0 and 1 of truths": (BINARY | {"positive": 1}, ["true", "false", "true"], "[0, 1]"),
    "truths of 0 and 1": (BINARY | {"positive": True}, ["1", "0", "1"], "[false, true]"),
    "truths declared": (BINARY | {"positive": True}, ["true", "false", ""], "[false, true]"),
    "texts of digits": (BINARY | {"positive": "1"}, ["1", "0", "1"], '["0", "1"]'),
}


def prepared(target: dict[str, Any], values: list[str], folder: Path) -> tuple[Prepared, ModelSpec]:
    """Write a CSV of twenty rows for each value, and prepare it."""
    file = folder / "dataset" / "sources" / "file" / "rows.csv"
    file.parent.mkdir(parents=True)
    lines = [f"{row},{value}\n" for row, value in enumerate(values * 20)]
    file.write_text("a,grade\n" + "".join(lines))
    source = {"kind": "file", "path": "dataset/sources/file/rows.csv"}
    spec = ModelSpec.model_validate(
        {
            "source": source,
            "target": {"name": "grade"} | target,
            "features": {"a": {"type": "number"}},
            "split": {},
            "candidates": {"dummy": {"estimator": "sklearn.dummy.DummyClassifier"}},
            "search": {},
            "champion": {"metric": "accuracy"},
            "gate": {},
        }
    )
    assert isinstance(spec.source, FileSource)
    tables = pa.concat_tables(FileTables(spec.source).tables())
    return prepare(tables.to_pandas(), spec), spec


@pytest.mark.parametrize(("target", "values", "classes"), CASES.values(), ids=CASES)
def test_classes_are_those_of_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: dict[str, Any],
    values: list[str],
    classes: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, spec = prepared(target, values, tmp_path)
    names = found.summary["target"]["classes"]
    assert json.dumps(names) == classes
    for side in (found.train, found.test):
        codes = encoded_target(side["grade"], names)
        assert sorted(set(codes.tolist())) == list(range(len(names)))
        assert [names[code] for code in codes] == side["grade"].tolist()
    if spec.target.positive is not None:
        assert type(spec.target.positive) is type(names[-1])
