"""The record of a training → its report, in Markdown. Pure.

Seconds are not in it: they would change the bytes at every run. They are printed while training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import mean, stdev

from treeline.contract.signature import Verdict
from treeline.records.evaluation import Evaluation
from treeline.records.summary import Summary
from treeline.records.training import Training
from treeline.reports import deciding, sections
from treeline.reports.markdown import folded, number, table

CANDIDATES = "images/candidates.png"  # stands beside the table of candidates


@dataclass(frozen=True)
class Record:
    """What the stages wrote down about one model, as plain data."""

    name: str
    description: str
    summary: Summary
    training: Training
    evaluation: Evaluation
    verdict: Verdict
    images: tuple[str, ...]
    beware: tuple[str, ...] = ()  # what the data may give away, beside the reasons


def report(record: Record) -> str:
    """Return the report of one training: the verdict first, then what it rests on."""
    word = "passed the gate" if record.verdict.passed else "was refused at the gate"
    metric = record.training["metric"]
    parts = [
        f"# {record.name} {word}",
        record.description,
        deciding.lead(record.evaluation, metric=metric, champion=record.training["champion"]),
        "\n".join(f"- {reason}" for reason in record.verdict.reasons),
        "## Metrics",
        sections.metrics(record.evaluation),
        *deciding.sections(record.evaluation, metric=metric),
        "## The data",
        sections.rows(record.summary),
        "\n".join(f"- {text}." for text in record.beware),
        *folded(
            "Candidates",
            candidates(record.training),
            "\n".join(_picture(path) for path in record.images if path == CANDIDATES),
        ),
        *folded("Importance", sections.importances(record.evaluation)),
        *folded(
            "Pictures", "\n".join(_picture(path) for path in record.images if path != CANDIDATES)
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def candidates(training: Training) -> str:
    """Say who competed, how each was judged, and who won with which settings."""
    metric, champion = training["metric"], training["champion"]
    rivals = training["candidates"]
    others = [name for name in rivals[champion]["folds"] if name != metric]
    rows = [
        [
            f"**{name}**" if name == champion else name,
            _spread(candidate["folds"][metric]),
            *(number(mean(candidate["folds"].get(other, [nan]))) for other in others),
            str(len(candidate["trials"])),
        ]
        for name, candidate in rivals.items()
    ]
    settings = rivals[champion]["hyperparameters"]
    heading = (
        f"Judged by {metric}, mean ± deviation over the same cross-validation folds of the "
        "training split; the baseline takes part, and wins only where that is declared."
    )
    chosen = ", ".join(f"{key} {_setting(value)}" for key, value in settings.items())
    parts = [
        heading,
        table(["candidate", metric, *others, "settings tried"], rows),
        f"**{champion}** won" + (f" with {chosen}." if chosen else "."),
        *(_left_out(name, candidate.get("left_out")) for name, candidate in rivals.items()),
    ]
    return "\n\n".join(part for part in parts if part)


def _left_out(name: str, reasons: Mapping[str, str] | None) -> str:
    """Say what a trainer that chooses by itself could not try."""
    if not reasons:
        return ""
    lines = [f"- `{path}`: {' '.join(reason.split())}" for path, reason in reasons.items()]
    return f"{name} left out:\n\n" + "\n".join(lines)


def _picture(path: str) -> str:
    return f"![{path.rpartition('/')[2][:-4]}]({path})"


def _spread(folds: Sequence[float]) -> str:
    return f"{number(mean(folds))} ± {number(stdev(folds))}"


def _setting(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
