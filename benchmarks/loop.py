"""How good are answers week after week, where a model learns from what came true, and where not?

Run with `python -m benchmarks loop`. Seedlings are asked about every week; a truth is told LATE
weeks after its prediction, of most of them. In one world wet years turn dry in week TURN, in the
other they do not. Each week ends with a look of the monitor, and what it asks for is done: the
model is trained from the log, and takes the place where it wins the contest. A model that was
trained once answers beside it, and all are judged on seedlings that nobody has asked about.
LOOP_WEEKS says how long, 26 weeks if it does not, and 14 at least. The picture of
docs/monitoring.md is drawn anew; the exit code is 1 where anything is shipped in the world that
does not turn, or where the loop does not make up for half of what the turn costs.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from api.prediction_log.database import Database, url_of
from examples.seedlings.season import (
    BEFORE,
    DRY,
    NAME,
    WEEK_SECONDS,
    WET,
    Week,
    begin,
    declared,
    logged,
    told,
    week,
)
from tests.checkout import ROOT, Checkout, create
from treeline.artifact import Prediction
from treeline.artifact.store import ArtifactStore, Model
from treeline.commands.monitor import look_at, watched_model
from treeline.config import Layout, read_params
from treeline.evaluation.metrics import score
from treeline.files import write_bytes
from treeline.monitoring.logs import log_of
from treeline.monitoring.record import Record
from treeline.monitoring.responses import Circumstances, Response, response_to
from treeline.plots.charts import Chart, Series
from treeline.plots.images import png
from treeline.preparation.encoding import encoded

TURN = 8  # the first dry week, in the world that turns
LATE = 3  # weeks until a truth is told
WEEKS = max(int(os.environ.get("LOOP_WEEKS", "26")), TURN + 2 * LATE)
PROVED = 0.8  # of the rows: what became of the others nobody learns
ROWS, JUDGED = 400, 2000  # rows of each week, and to judge by
BEGIN = datetime(2030, 1, 7, tzinfo=UTC).timestamp()
HELD_OUT = 2_000  # rows of a week from which on nobody asks
PICTURE = ROOT / "docs" / "images" / "loop.png"
METRIC = "log_loss"


@dataclass
class Course:
    """How a model fares in one world: its metric by week, and the weeks of what happened."""

    quality: list[float] = field(default_factory=list)
    alarms: list[int] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    shipped: list[int] = field(default_factory=list)


class Production:
    """A model of a checkout that answers, and a log of what it has answered."""

    def __init__(self, clone: Checkout, log: Path) -> None:
        self.clone, self.url = clone, f"sqlite:///{log}"
        self._database = Database(url_of(self.url, Path()))
        self._asked: dict[int, tuple[list[dict[str, object]], Week]] = {}

    def model(self) -> Model:
        return ArtifactStore(self.clone.root / "model").load(NAME)

    def answer(self, number: int, asked: Week) -> None:
        """Answer the seedlings of a week in its middle."""
        model = self.model()
        prediction = predicted(model, asked)
        assert prediction.labels is not None and prediction.scores is not None
        pairs = zip(prediction.labels.tolist(), prediction.scores[:, 1].tolist(), strict=True)
        at = BEGIN + (number + 0.5) * WEEK_SECONDS
        rows = logged(asked, at=at, version=model.signature.version, answers=pairs)
        self._database.add(rows, [])
        self._asked[number] = rows, asked

    def prove(self, number: int) -> None:
        """Tell what came true of an earlier week, at the end of this one."""
        if number - LATE not in self._asked:
            return
        rows, asked = self._asked.pop(number - LATE)
        truths = told(rows, asked, at=end_of(number) - 3600)
        is_known = np.random.default_rng([3, number]).random(len(truths)) < PROVED
        known = [truth for truth, known in zip(truths, is_known, strict=True) if known]
        self._database.add([], known)

    def look(self, number: int, earlier: str | None, *, fresh: bool) -> tuple[Record, Response]:
        """Return what the look at the end of a week says, and what follows."""
        with chdir(self.clone.root):
            spec = read_params().models[NAME]
            watched = watched_model(spec, Layout(NAME))
            record = look_at(watched, log_of(self.url, "NONE"), since=None, until=end_of(number))
        known = Circumstances(
            earlier=earlier,
            report="",
            stale=["its source has other rows"] if fresh else [],
            every=spec.monitor.every,
            now=datetime.fromtimestamp(end_of(number), UTC),
        )
        return record, response_to(record, known)

    def train(self) -> bool:
        """Train from the log; tell whether the model took the place of the one before."""
        clone = self.clone
        clone.python("-m", "treeline", "retrain", "--recollect", good=None)
        if clone.python("-m", "treeline", "compare", "--base", "HEAD", good=None).returncode:
            clone.run("git", "checkout", "--quiet", ".")
            clone.run("dvc", "checkout", "--quiet")
            return False
        clone.commit("Train")
        return True


def end_of(number: int) -> float:
    return BEGIN + (number + 1) * WEEK_SECONDS


def predicted(model: Model, asked: Week) -> Prediction:
    return model.runtime.predict(encoded(asked.asked, model.signature.features).to_numpy())


def quality(model: Model, number: int, *, dry: float) -> float:
    """Return the metric of a model on seedlings of a week that nobody has asked about."""
    held_out = week(number, rows=JUDGED, dry=dry, skip=HELD_OUT)
    return score(held_out.truth.to_numpy(), predicted(model, held_out), [METRIC])[METRIC]


def lived(
    production: Production, dry_in: Callable[[int], float]
) -> Iterator[tuple[Course, Course]]:
    """Yield, after each week, the course of the model that learns and of the first one."""
    with_loop, without = Course(), Course()
    first, earlier, fresh = production.model(), None, False
    for number in range(1, WEEKS + 1):
        dry = dry_in(number)
        production.answer(number, week(number, rows=ROWS, dry=dry))
        production.prove(number)
        fresh = fresh or number > LATE
        with_loop.quality.append(quality(production.model(), number, dry=dry))
        without.quality.append(quality(first, number, dry=dry))
        record, response = production.look(number, earlier, fresh=fresh)
        if record.state == "alarm":
            with_loop.alarms.append(number)
        earlier = None if response.change == "close" else response.text or earlier
        if response.train:
            fresh = False
            with_loop.trained.append(number)
            if production.train():
                with_loop.shipped.append(number)
        yield with_loop, without


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        start = begun(Path(name) / "start")
        courses = {}
        for world, dry_in in {
            "turns dry": lambda number: DRY if number >= TURN else WET,
            "stays wet": lambda _: WET,
        }.items():
            production = copied(start, Path(name) / world.replace(" ", "-"))
            for number, (with_loop, without) in enumerate(lived(production, dry_in), 1):
                print(
                    f"{world}, week {number}: {METRIC} {without.quality[-1]:.3f} without, "
                    f"{with_loop.quality[-1]:.3f} with the loop",
                    flush=True,
                )
            courses[world] = with_loop, without
    for world, (with_loop, _) in courses.items():
        print(
            f"a world that {world}: alarms in weeks {with_loop.alarms}, trained in "
            f"{with_loop.trained}, shipped in {with_loop.shipped}"
        )
    write_bytes(PICTURE, png(drawn(*courses["turns dry"])))
    return 1 if failures(courses) else 0


def begun(folder: Path) -> Production:
    """Return a model that has learnt from what people answered in wet years."""
    folder.mkdir()
    log = folder / "log.sqlite"
    production = Production(Checkout(folder / "clone"), log)
    begin(production.url, rows=BEFORE, at=BEGIN)
    create(folder / "clone", params=declared(production.url))
    production.clone.run("dvc", "repro")
    production.clone.commit("Train")
    return production


def copied(start: Production, folder: Path) -> Production:
    """Return the same model with a log of its own."""
    folder.mkdir()
    log = folder / "log.sqlite"
    log.write_bytes(Path(start.url.removeprefix("sqlite:///")).read_bytes())
    production = Production(start.clone.copy(folder / "clone"), log)
    production.clone.change(start.url, production.url)
    production.clone.run("dvc", "repro")
    production.clone.commit("Take another log")
    return production


def drawn(with_loop: Course, without: Course) -> Chart:
    """Return the curve of quality over the weeks."""
    weeks = np.arange(1, len(without.quality) + 1)
    both = np.array([*without.quality, *with_loop.quality])
    low, high = both.min() - 0.02, both.max() + 0.02
    series = [
        Series("trained once", weeks, np.array(without.quality), "line"),
        Series("retrained by alarms", weeks, np.array(with_loop.quality), "line"),
        Series("it turns dry", np.full(2, TURN - 0.5), np.array([low, high]), "reference"),
    ]
    note = f"models taken into service after weeks {', '.join(map(str, with_loop.shipped))}"
    title = "Quality in a world that turns"
    return Chart("loop", title, note, "week", f"{METRIC}, lower is better", tuple(series))


def failures(courses: dict[str, tuple[Course, Course]]) -> list[str]:
    """Print and return what is not as promised."""
    failed = []
    turning, without = courses["turns dry"]
    cost = without.quality[-1] - turning.quality[-1]
    turned = np.mean(without.quality[TURN - 1 :]) - np.mean(without.quality[: TURN - 1])
    if not turning.shipped or cost < turned / 2:
        failed.append("the loop does not make up for half of what the turn costs")
    if courses["stays wet"][0].shipped:
        failed.append("a model is shipped though the world does not turn")
    for each in failed:
        print(f"not as promised: {each}")
    return failed
