"""Champion on the test split, and its rivals → CSV curves for DVC and pictures, a folder each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from treeline.files import replacing_folder
from treeline.plots import charts
from treeline.plots.candidates import candidates
from treeline.plots.charts import Chart, Judged, Series, csv
from treeline.plots.images import png

__all__ = ["Judged", "charts_of", "draw"]

TASKS = {
    "binary": charts.classification_charts,
    "multiclass": charts.classification_charts,
    "regression": charts.regression_charts,
}


def draw(judged: Judged, *, curves: Path, images: Path) -> None:
    """Draw every chart twice: as `<chart>.csv` into `curves`, as `<chart>.png` into `images`.

    Whatever the folders held before is gone; the same input gives the same bytes.
    """
    charts = list(charts_of(judged))
    with replacing_folder(curves) as folder:
        for chart in charts:
            (folder / f"{chart.name}.csv").write_bytes(csv(chart))
    with replacing_folder(images) as folder:
        for chart in charts:
            (folder / f"{chart.name}.png").write_bytes(png(chart))


def charts_of(judged: Judged) -> Iterator[Chart]:
    """Yield every chart that makes sense for the task and for what the model gives."""
    yield from TASKS[judged.target.task](judged)
    if judged.importances:
        yield importance(judged)
    if judged.training:
        yield candidates(judged.training)


def importance(judged: Judged) -> Chart:
    """How much the metric worsens when a feature is shuffled, with the deviation over shuffles."""
    columns = {
        key: np.array([entry[key] for entry in judged.importances])
        for key in ("feature", "loss", "deviation")
    }
    losses, further = columns["loss"], {"deviation": columns["deviation"]}
    bars = Series("importance", losses, columns["feature"], "bar", further=further)
    note = f"{judged.rows}; bar: mean over shuffles, line: deviation"
    title, x_title = "Importance of features", f"worsening of {judged.metric} when shuffled"
    return Chart("importance", title, note, x_title, "feature", (bars,))
