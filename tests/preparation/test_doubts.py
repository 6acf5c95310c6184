"""A column whose dots may separate thousands is told when rows are prepared."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Project
from treeline.config.models import ModelSpec
from treeline.preparation.checking import doubts
from treeline.stages.collect import collect
from treeline.stages.prepare import prepare

DOTTED = ["1.234", "12.500", "999.000", "3.141", None] * 4


def spec(feature: dict[str, Any], kind: str) -> ModelSpec:
    sources = {
        "file": {"kind": "file", "path": "dataset/sources/file/rows.csv"},
        "library": {"kind": "library", "dataset": "iris"},
    }
    return ModelSpec.model_validate(
        {
            "source": sources[kind],
            "target": {"name": "t", "task": "regression"},
            "features": {"a": {"type": "number", **feature}},
            "split": {},
            "candidates": {"ridge": {"estimator": "sklearn.linear_model.Ridge"}},
            "search": {},
            "champion": {"metric": "rmse"},
            "gate": {},
        }
    )


@pytest.mark.parametrize(
    ("values", "feature", "kind", "told"),
    [
        (DOTTED, {}, "file", True),
        (DOTTED, {"maximum": 1e6}, "file", True),
        (DOTTED, {"maximum": 1000}, "file", False),
        ([*DOTTED, "2.5"], {}, "file", False),
        ([*DOTTED, "0.123"], {}, "file", False),
        ([*DOTTED, "1234.567"], {}, "file", False),
        (DOTTED[:5], {}, "file", False),
        ([None] * 20, {}, "file", False),
        (DOTTED, {}, "library", False),
    ],
)
def test_what_may_be_thousands_is_told(
    tmp_path: Path, values: list[str | None], feature: dict[str, Any], kind: str, told: bool
) -> None:
    raw = tmp_path / "raw.parquet"
    pd.DataFrame({"a": pd.Series(values, dtype="str"), "t": 1.0}).to_parquet(raw)
    found = doubts(raw, spec(feature, kind))
    assert len(found) == told
    if told:
        assert "column 'a': every value has three digits after one dot, such as 1.234" in found[0]
        assert "`features.a.maximum` below 1234" in found[0]


def test_the_prepare_stage_says_so(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    collect(project.spec, project.paths)
    prepare(project.spec, project.paths)
    assert "warning" not in capsys.readouterr().out
    name = "Light"
    raw = pd.read_parquet(project.paths.raw)
    raw[name] = pd.Series([f"{1 + row % 9}.{row:03}" for row in range(len(raw))], dtype="str")
    raw.to_parquet(project.paths.raw)
    feature = project.spec.features[name].model_copy(update={"maximum": None})
    changed = project.spec.model_copy(update={"features": {**project.spec.features, name: feature}})
    prepare(changed, project.paths)
    assert f"warning: column {name!r}: every value has three digits" in capsys.readouterr().out
