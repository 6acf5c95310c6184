"""Preparation on this machine: raw.parquet → train.parquet, test.parquet, all rows in memory."""

from typing import Any

import pandas as pd

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.frames import read_frame, write_frame
from treeline.preparation.preparing import prepare
from treeline.preparation.spacing import check_spacing


def prepare_files(spec: ModelSpec, paths: Layout) -> dict[str, Any]:
    """Write both splits and return the summary; raises DataError."""
    outcome = prepare(read_frame(paths.raw), spec)
    parts = (outcome.train, outcome.test)
    check_spacing(lambda name: pd.concat([part[name] for part in parts]), spec.features)
    write_frame(paths.train, outcome.train)
    write_frame(paths.test, outcome.test)
    return outcome.summary
