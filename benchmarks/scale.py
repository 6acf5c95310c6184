"""Time and memory from 10 thousand to 10 million seedlings, on this machine and on Spark.

Run with `python -m benchmarks scale`. Rows are simulated, a size at a time; each stage runs as
`make repro` runs it, in a process of its own, and so does the scoring of all collected rows by the
exported model. The champion is XGBoost's, 120 trees of depth 6 on two threads, judged on three
folds beside the baseline. On Spark the same model is declared with `engine: spark` and XGBoost on
Spark, on `local[2]` and on a standalone cluster of two workers of one core, started here.

SCALE_SIZES and SCALE_ENGINES, lists with commas, ask for fewer. Ten million rows take 6 GB and half
an hour on two cores.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.process_usage import Used, used
from benchmarks.seedlings import PROJECT
from tests.spark_cluster import cluster

MODEL = "tree-survival"
SIZES = "10000,100000,1000000,10000000"
ENGINES = "local,spark,cluster"
STEPS = ("collect", "prepare", "train", "score")
FOLDS = 3
TREES = {"tree_method": "hist", "n_estimators": 120, "max_depth": 6, "learning_rate": 0.08}
DRIVER_MEMORY, WORKER_MEMORY = "3g", "2g"


def main() -> int:
    """Print a row for each size and engine; return 0.

    A cell has seconds, seconds of processors, and MB at the peak.
    """
    sizes = [int(size) for size in os.environ.get("SCALE_SIZES", SIZES).split(",")]
    engines = os.environ.get("SCALE_ENGINES", ENGINES).split(",")
    print("| rows | engine | " + " | ".join(STEPS) + " |")
    print("| ---: | --- |" + " ---: |" * len(STEPS), flush=True)
    with tempfile.TemporaryDirectory(prefix="treeline-scale-") as name:
        exported = _exported(Path(name, "exported"))
        for size in sizes:
            _print_rows(size, engines, exported, Path(name, str(size)))
    return 0


def _print_rows(size: int, engines: list[str], exported: Path, folder: Path) -> None:
    _declare(folder, size, "local")
    collected = _cell(_stage("collect", folder))
    for engine in engines:
        _declare(folder, size, engine)
        with _cluster_for(engine, folder / "cluster") as environment:
            cells = _measured(folder, engine, exported, environment)
        print(f"| {size:,} | {engine} | {collected} | {' | '.join(cells)} |", flush=True)
    shutil.rmtree(folder)


def _exported(folder: Path) -> Path:
    """Return the folder of models with one learnt from few rows; its size is that of the others."""
    _declare(folder, 20_000, "local")
    for stage in ("collect", "prepare", "train", "evaluate", "gate", "export"):
        found = _stage(stage, folder)
        if found.failed:
            sys.exit(f"{stage}: {found.failed}")
    return folder / "model"


def _measured(folder: Path, engine: str, exported: Path, environment: dict[str, str]) -> list[str]:
    """Return seconds and memory of each step but the first, as cells of the table."""
    cells = [_cell(_stage(stage, folder, environment)) for stage in ("prepare", "train")]
    rows, scored = folder / "dataset" / MODEL / "raw.parquet", folder / "scored"
    command = [sys.executable, "-m", "treeline", "score", MODEL, str(rows), str(scored)]
    options = ["--models", str(exported), "--keep", "No"]
    options += ["--engine", "local" if engine == "local" else "spark"]
    cells.append(_cell(used([*command, *options], cwd=folder, environment=environment)))
    shutil.rmtree(scored) if scored.is_dir() else scored.unlink(missing_ok=True)
    return cells


def _stage(stage: str, folder: Path, environment: dict[str, str] | None = None) -> Used:
    command = [sys.executable, "-m", "treeline.stages", stage, MODEL]
    return used(command, cwd=folder, environment=environment or {})


def _cell(found: Used) -> str:
    if found.failed:
        print(f"  {found.failed}", file=sys.stderr, flush=True)
        return f"failed after {found.seconds:,.0f} s"
    return f"{found.seconds:,.0f} / {found.processor_seconds:,.0f} / {found.megabytes:,.0f}"


@contextmanager
def _cluster_for(engine: str, folder: Path) -> Iterator[dict[str, str]]:
    """Yield what tells stages where Spark is: the threads of this machine, or a cluster."""
    with cluster(folder, memory=WORKER_MEMORY) if engine == "cluster" else nullcontext() as url:
        yield {"SPARK_MASTER": url or "local[2]", "SPARK_CONF_DIR": str(_configured(folder))}


def _configured(folder: Path) -> Path:
    """Return a folder with the memory that Spark may take; by itself it takes 1 GB a JVM."""
    conf = folder / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    lines = [f"spark.driver.memory {DRIVER_MEMORY}", f"spark.executor.memory {WORKER_MEMORY}"]
    (conf / "spark-defaults.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return conf


def _declare(folder: Path, rows: int, engine: str) -> None:
    """Write the declaration, beside the figures that rows are simulated from."""
    yaml = YAML(typ="safe", pure=True)
    model: dict[str, Any] = yaml.load(PROJECT / "params.yaml")["models"][MODEL]
    spark = engine != "local"
    place, own = ("xgboost.spark.SparkXGB", "num_workers") if spark else ("xgboost.XGB", "n_jobs")
    model["source"]["rows"] = rows
    model["split"]["engine"] = "spark" if spark else "local"
    model["candidates"] = {
        "baseline": model["candidates"]["baseline"],
        "boosting": {
            "trainer": "spark" if spark else "sklearn",
            "categories": "codes",
            "estimator": f"{place}Classifier",
            "options": {**TREES, own: 2},
        },
    }
    model["search"] = {"strategy": "grid", "folds": FOLDS}
    figures = folder / "dataset" / "sources"
    figures.parent.mkdir(parents=True, exist_ok=True)
    if not figures.exists():
        figures.symlink_to(PROJECT / "dataset" / "sources")
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump({"default": MODEL, "models": {MODEL: model}}, file)
