"""How often does a monitor alarm where nothing has changed, and how often where something has?

Run with `python -m benchmarks monitoring`. Worlds have ten features, of a model that learnt from
1,500 rows and was judged on 750; there are 25 trainings, as the luck of a reference counts as well.
MONITORING_WINDOWS says how many windows are drawn without drift, 500 if it does not; of drifts at
most 200. Power is told of the first look at a version and of the thirtieth. The exit code is 1
where more than one in twenty windows without drift alarm, or a drift is missed more often than is
promised. Versions that live without drift are watched night after night, by windows that overlap. A
million rows are read from a log in SQLite at the end, unless MONITORING_LOG_ROWS says otherwise.
"""

import json
import os
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from tqdm import tqdm

from tests.conftest import PARAMS
from tests.monitoring.worlds import (
    DAY,
    FEATURES,
    NAME,
    NIGHT,
    VERSION,
    Change,
    Columns,
    answered,
    drawn,
    log_in,
    look,
    nothing,
    proved,
    rows_of,
    value,
    watched,
)
from treeline.artifact import Prediction
from treeline.commands.monitor import look_at
from treeline.evaluation.metrics import score
from treeline.monitoring.estimates import estimated
from treeline.monitoring.logs import log_of
from treeline.monitoring.verdicts import Watched

WINDOWS = int(os.environ.get("MONITORING_WINDOWS", "500"))
LOG_ROWS = int(os.environ.get("MONITORING_LOG_ROWS", "1000000"))
DRIFTING = 200  # windows of each row in which something has changed
REFERENCES = 25  # trainings, of which each is watched in as many windows
VERSIONS, NIGHTS = min(WINDOWS, 200), 60
MOST_ALARMS = 5.0  # percent of the versions, as is declared
MOST_SECONDS, MOST_BYTES = 20, 500 << 20


@dataclass(frozen=True)
class Case:
    """One row of the table: what has changed, with how many rows, and how often it must alarm.

    `least` and `most` are percent of the windows; `on` is the feature or metric that must alarm,
    any where it is empty.
    """

    name: str
    rows: int
    change: Change = nothing
    on: str = ""
    turned: float = 0.0
    labelled: float = 0.0
    look: int = 1
    least: float = 0.0
    most: float = 100.0


def times(name: str, factor: float) -> Change:
    return lambda columns, _: columns | {name: factor * columns[name]}


def moved(name: str, by: float) -> Change:
    return lambda columns, _: columns | {name: columns[name] + by}


def constant(columns: Columns, _: np.random.Generator) -> Columns:
    return columns | {"Trait3": np.full(len(columns["Trait3"]), 3.0)}


def newcomer(share: float) -> Change:
    def change(columns: Columns, rng: np.random.Generator) -> Columns:
        struck = rng.random(len(columns["Species"])) < share
        struck[0] = True
        return columns | {"Species": np.where(struck, "Fagus", columns["Species"])}

    return change


def lost(share: float) -> Change:
    """Let a share of the heights that are known be missing as well."""

    def change(columns: Columns, rng: np.random.Generator) -> Columns:
        struck = rng.random(len(columns["Height"])) < share
        return columns | {"Height": np.where(struck, np.nan, columns["Height"])}

    return change


QUIET = [
    Case("nothing; half of the rows have a truth", rows, labelled=0.5, most=5)
    for rows in (200, 500, 2_000, 20_000)
]
DOUBLED = lost(1 / 9)  # of 9 tenths that are known
DRIFTS = [
    *(
        Case("half a deviation in one of ten features", rows, moved("Trait2", 1.5), "Trait2",
             look=night, least=95 if rows >= 500 else 0)
        for rows in (200, 500, 2_000) for night in (1, 30)
    ),
    Case("a category that nobody declared, in one row", 200, newcomer(0), "Species", least=100),
    Case("a number a thousand times what it was", 200, times("Light", 1000), "Light", least=100),
    Case("a number a thousandth of what it was", 200, times("Light", 0.001), "Light", least=100),
    Case("a column gone constant", 200, constant, "Trait3", least=100),
    *(
        Case("missing values doubled, from 10 % to 20 %", rows, DOUBLED, "Height", look=night,
             least=95 if rows >= (500 if night == 1 else 1_000) else 0)
        for rows in (200, 500, 1_000, 2_000) for night in (1, 30)
    ),
    *(
        Case(f"the labels of {share:.0%} turned", rows, turned=share, labelled=1.0, look=30)
        for share in (0.1, 0.2, 0.3) for rows in (500, 2_000)
    ),
]  # fmt: skip


def main() -> int:
    models = [model(seed) for seed in range(REFERENCES)]
    failed = []
    print("| what has changed | rows | look | alarms | of it |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for case in [*QUIET, *DRIFTS]:
        alarms, right = alarmed(case, models)
        print(
            f"| {case.name} | {case.rows:,} | {case.look} | {alarms:.1f} % | {right:.1f} % |",
            flush=True,
        )
        if not case.least <= right or alarms > case.most:
            failed.append(case.name)
    failed += lives(models)
    estimates(models)
    failed += million(models[0])
    for name in failed:
        print(f"not as promised: {name}")
    return 1 if failed else 0


def model(seed: int) -> Watched:
    block = YAML(typ="safe", pure=True).load(PARAMS)["models"]["seedlings"]
    block["features"] = {
        name: feature.model_dump(mode="json", exclude_defaults=True)
        for name, feature in FEATURES.items()
    }
    block["split"] = {"test": 0.25}
    return watched(block, seed=seed, slices=[])


def alarmed(case: Case, models: list[Watched]) -> tuple[float, float]:
    """Return the percent of windows that alarm, and of those that do so where they should."""
    alarms = right = 0
    windows = WINDOWS if case in QUIET else min(WINDOWS, DRIFTING)
    for number in tqdm(range(windows), desc=case.name, leave=False, disable=None):
        rng = np.random.default_rng([case.rows, number])
        columns = drawn(rng, case.rows, case.change)
        truth = None
        if case.labelled:
            known = rng.random(case.rows) < case.labelled
            truth = np.where(known, proved(columns, rng, case.turned), -1)
        at = NIGHT - DAY * (1 - np.arange(case.rows) / case.rows) / 2  # one afternoon
        rows = rows_of(columns, times=at, truth=truth)
        record = look(models[number % len(models)], rows, days=case.look - 1)
        alarms += record.state == "alarm"
        right += any(case.on in ("", each.on) for each in record.alarms)
    return 100 * alarms / windows, 100 * right / windows


def lives(models: list[Watched]) -> list[str]:
    """Watch versions night after night in a world without drift; return what is not as promised."""
    print("\n| a version without drift, 400 rows a week | nights | versions | ever alarm |")
    print("| --- | ---: | ---: | ---: |")
    alarmed_ever = 0
    for number in tqdm(range(VERSIONS), desc="lives", leave=False, disable=None):
        rng = np.random.default_rng([99, number])
        count = 400 * NIGHTS // 7
        columns = drawn(rng, count)
        at = NIGHT + NIGHTS * DAY * np.arange(count) / count
        truth = np.where(rng.random(count) < 0.5, proved(columns, rng), -1)
        alarmed_ever += ever_alarms(models[number % len(models)], columns, at, truth)
    share = 100 * alarmed_ever / VERSIONS
    print(f"| looked at every night | {NIGHTS} | {VERSIONS} | {share:.1f} % |", flush=True)
    return ["versions without drift alarm in their life"] if share > MOST_ALARMS else []


def ever_alarms(model: Watched, columns: Columns, at: Any, truth: Any) -> bool:
    """Look at the week before each night of a life; tell whether any of them alarms."""
    for night in range(1, NIGHTS + 1):
        until = NIGHT + night * DAY
        inside = (at >= until - 7 * DAY) & (at < until)
        part = {name: column[inside] for name, column in columns.items()}
        rows = rows_of(
            part, times=at[inside], truth=truth[inside], truth_times=at[inside] + DAY / 24
        )
        if look(model, rows, days=night, until=until).state == "alarm":
            return True
    return False


def estimates(models: list[Watched]) -> None:
    """Print by how much metrics that are estimated without truth are off, on windows of 2,000."""
    worlds: dict[str, tuple[Change, float]] = {
        "nothing has changed": (nothing, 0.0),
        "inputs have shifted": (
            lambda c, r: moved("Trait0", 0.7)(times("Light", 1.4)(c, r), r),
            0.0,
        ),
        "the labels of 20 % turned": (nothing, 0.2),
    }
    print("\n| estimated without truth | accuracy | f1 | roc_auc | log_loss |")
    print("| --- | ---: | ---: | ---: | ---: |")
    names = ["accuracy", "f1", "roc_auc", "log_loss"]
    for world, (change, turned) in worlds.items():
        errors = []
        for number in range(min(WINDOWS, 100)):
            rng = np.random.default_rng([7, number])
            columns = drawn(rng, 2_000, change)
            prediction: Prediction = answered(columns)
            before = models[number % len(models)].evaluation["answers"]["calibration"]
            estimates = estimated(prediction, before)
            true = score(proved(columns, rng, turned), prediction, names)
            errors.append([abs(estimates[name] - true[name]) for name in names])
        means = " | ".join(f"{each:.3f}" for each in np.mean(errors, axis=0))
        print(f"| {world}: mean error | {means} |", flush=True)


def million(watching: Watched) -> list[str]:
    """Read and judge many rows of a log; return what took too long, or too much memory."""
    with tempfile.TemporaryDirectory() as folder:
        _, url = log_in(Path(folder))
        fill(Path(folder) / "log.sqlite")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        began, busy = time.perf_counter(), time.process_time()
        record = look_at(watching, log_of(url, "NONE"), since=None, until=NIGHT)
        seconds, used = time.perf_counter() - began, time.process_time() - busy
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    assert record.seen.rows == LOG_ROWS
    print(
        f"\n{record.seen.rows:,} rows, {record.quality.labelled:,} with truth: {seconds:.1f} s "
        f"({used:.1f} s of one processor), {after / 2**20:,.0f} MiB in all, {before / 2**20:,.0f} "
        "before"
    )
    slow = [f"{seconds:.1f} seconds"] if seconds > MOST_SECONDS else []
    return slow + ([f"{after / 2**20:,.0f} MiB"] if after > MOST_BYTES else [])


def fill(file: Path) -> None:
    """Write predictions of a week, every tenth with its truth."""
    with sqlite3.connect(file) as database:
        for number, start in enumerate(range(0, LOG_ROWS, 50_000)):
            rows = list(lines(np.random.default_rng(number), start, min(50_000, LOG_ROWS - start)))
            database.executemany(
                "INSERT INTO predictions (id, time, model, version, features, prediction, "
                "probability, latency_seconds) VALUES (?, ?, ?, ?, ?, ?, ?, 0.001)",
                [row[:7] for row in rows],
            )
            database.executemany(
                "INSERT INTO feedback (id, time, truth) VALUES (?, ?, ?)",
                [(row[0], NIGHT - 1, row[7]) for row in rows[::10]],
            )


def lines(rng: np.random.Generator, start: int, count: int) -> Iterator[tuple[Any, ...]]:
    columns = drawn(rng, count)
    scores, truth = answered(columns).scores, proved(columns, rng)
    assert scores is not None
    for place in range(count):
        features = {name: value(name, columns[name][place]) for name in FEATURES}
        share = float(scores[place, 1])
        at = NIGHT - 7 * DAY * (1 - (start + place) / LOG_ROWS)
        label = '"1"' if share > 0.5 else '"0"'
        true = json.dumps(str(truth[place]))
        yield (
            f"{start + place:032x}", at, NAME, VERSION, json.dumps(features), label, share, true,
        )  # fmt: skip
