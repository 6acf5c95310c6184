"""The branch `refused`: which models were refused with which inputs, so that it is told once.

A training repeats itself to the byte, and so does a refusal: a model whose rows, declaration and
code are those of a refusal, beside the same incumbent, would be refused again.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from treeline.config import Layout
from treeline.delivery import locking, releasing
from treeline.delivery.lists import JsonList
from treeline.files import digest

LIBRARIES = Path("requirements/train.txt")
REFUSALS = JsonList("refused")
GATE, CONTEST = "gate", "contest"


@dataclass(frozen=True)
class Refusal:
    """A model that the gate, or the contest with the incumbent, did not let pass, and why.

    `inputs` is a digest of what it was made from and judged by, `commit` where it was first told.
    """

    by: str
    inputs: str
    reason: str
    commit: str


def known() -> dict[str, Refusal]:
    """Return the refusals on record by model, as this checkout knows them."""
    return {name: Refusal(**each) for name, each in (REFUSALS.last() or {}).items()}


def repeated(models: Iterable[str]) -> dict[str, Refusal]:
    """Return the refusals on record of models whose inputs are still the same.

    Their rows have to be collected, and the stage digest up to date.
    """
    recorded = known()
    return {
        name: recorded[name]
        for name in models
        if name in recorded and recorded[name].inputs == inputs_of(name)
    }


def inputs_of(model: str) -> str:
    """Return a digest of what a model is made from and judged by: 64 hexadecimal digits."""
    paths, entry = Layout(model), releasing.last()
    parts = [f"{path.name} {path.read_text('utf-8')}" for path in sorted(paths.inputs.glob("*"))]
    parts.append(f"libraries {digest(LIBRARIES)}" if LIBRARIES.is_file() else "")
    parts.append(f"rows {locking.digest_of(paths.raw)}")
    parts.append(f"incumbent {entry.models.get(model) if entry else None}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def refspecs(refusals: Mapping[str, Refusal]) -> list[str]:
    """Return what is to be pushed so that these are on record and no others: nothing if they are.

    A refusal that is on record with the same inputs stays as it was first told.
    """
    before = known()
    after = {
        name: before[name] if name in before and before[name].inputs == each.inputs else each
        for name, each in sorted(refusals.items())
    }
    if after == before:
        return []
    document = {name: asdict(each) for name, each in after.items()}
    names = ", ".join(after) or "none"
    return [REFUSALS.entry(document, message=f"Refused: {names}")]
