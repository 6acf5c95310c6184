"""Exports here against those of a revision → which models may ship.

Both artifacts predict the candidate's test rows. The comparison is written to
`model/<model>/comparison.{json,md}`. The revision `released` stands for the models in service, or
for those of HEAD as long as there are none.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from treeline.config import Layout, read_params
from treeline.contest.incumbents import Answer, answer
from treeline.delivery import notes
from treeline.delivery.artifacts import version
from treeline.delivery.releasing import RELEASED, incumbent
from treeline.delivery.repository import resolved
from treeline.delivery.storage import shared
from treeline.errors import ComparisonError
from treeline.files import write_text
from treeline.records.comparison import write_comparison


@dataclass(frozen=True)
class Comparison:
    """The models here beside those of `base`; `good` when each of them may ship."""

    base: str
    models: dict[str, Answer]
    accepted: bool

    @property
    def good(self) -> bool:
        """Whether no model is worse than the one before."""
        return all(each.good for each in self.models.values())

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        models = {
            name: {"good": each.good, "text": each.text, "comparison": each.comparison}
            for name, each in self.models.items()
        }
        return {"base": self.base, "good": self.good, "accepted": self.accepted, "models": models}


def compare(
    models: Sequence[str], *, base: str, accept: bool, on_answer: Callable[[Answer], None]
) -> Comparison:
    """Compare the named models, or all; `on_answer` gets each answer as soon as it is known.

    One that could not be trained in this run, and was not named, is left out. The comparison is
    noted for those who go on, and so is an error. Raises ComparisonError.
    """
    with notes.recording_error("compare"):
        now = time.time()
        shared()  # an incumbent may have to be fetched from there
        base = incumbent() if base == RELEASED else base
        answers = {}
        declared = read_params().models
        for name in models or _trained(declared):
            if name not in declared:
                raise ComparisonError(f"{name}: not declared; declared are {', '.join(declared)}")
            answers[name] = answer(declared[name], Layout(name), base=base, now=now)
            on_answer(answers[name])
            _write(answers[name], Layout(name))
        comparison = Comparison(resolved(base) or base, answers, accept)
        contests = {
            name: notes.Contest(each.good, version(name), each.reason)
            for name, each in answers.items()
        }
        notes.write(notes.Compared(comparison.base, accept, contests))
        return comparison


def _trained(declared: Iterable[str]) -> list[str]:
    """Return the models that the training of this run did not leave out, in their order."""
    reproduced = notes.read(notes.Reproduced) or notes.Reproduced()
    failed = {each.model for each in reproduced.failures} | set(reproduced.left_out)
    return [name for name in declared if name not in failed]


def _write(answer: Answer, paths: Layout) -> None:
    """Write the answer in the place of an earlier one."""
    paths.comparison.unlink(missing_ok=True)
    if answer.comparison is not None:
        write_comparison(paths.comparison, answer.comparison)
    write_text(paths.comparison.with_suffix(".md"), answer.text + "\n")
