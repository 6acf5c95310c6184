"""The table of estimators and kinds of input, as the document that people read."""

from pathlib import Path

from tests.estimators.cells import KINDS
from treeline.contract.features import Task

PATH = Path(__file__).parents[2] / "docs" / "estimators.md"
HEAD = """# Estimators

How an estimator is served for a kind of input, made by `python -m tests.estimators` (seven
minutes on two busy processors). A test makes a part of it again. Each cell is fitted, exported as
the pipeline does it, loaded, and asked for {sent:,} rows of its contract that are drawn by
another rule than the one that proves a graph: missing values where they may be, numbers that
are not in the data, each category. No cell may answer otherwise than its estimator: by no
label, and by 1e-5 at most.

- **ONNX**: any service answers it.
- **pickle**: a service with `API_ALLOW_PICKLE=1` answers it; the notes say why there is no graph.
- **refused**: training refuses it, in the words of the notes.

`numbers`, `few rows` (24), `many rows` (1,000), `robust scaler` and `five classes, large
values` have three numbers; `one-hot` and `codes` a category and a boolean; `missing` a number
and a category of which a fifth is missing, `missing in service` the same with none missing in
what is learnt from; `large integers` go to 2^24; `ties` are rows of few different values. Trees
get codes and plain numbers, others one-hot categories and scaled numbers, and an imputer where
rows to learn from lack values, as `compare` does it. Whole numbers beyond 2^24, and numbers
that float32 takes for the same, reach no estimator: `prepare` refuses them. Classes of one's
own are served as what their method `plain` returns, or as pickles. LightGBM and CatBoost, where
installed, are pickles.
"""


def row(path: str, cells: list[str], notes: list[str]) -> str:
    """Return a row of the table; a reason that is new joins the notes."""
    shown = []
    for cell in cells:
        kind, _, reason = cell.partition(": ")
        if reason and reason not in notes:
            notes.append(reason)
        shown.append(f"{kind} ({notes.index(reason) + 1})" if reason else kind)
    return f"| `{path}` | " + " | ".join(shown) + " |"


def document(table: dict[tuple[Task, str], list[str]], *, sent: int) -> str:
    """Return the document of a table that has a cell for each kind of input."""
    notes: list[str] = []
    parts = [HEAD.format(sent=sent)]
    for task, title in (("binary", "Classifiers"), ("regression", "Regressors")):
        lines = [row(path, cells, notes) for (each, path), cells in table.items() if each == task]
        head = f"| estimator | {' | '.join(KINDS)} |\n| --- |{' --- |' * len(KINDS)}"
        parts.append(f"## {title}\n\n{head}\n" + "\n".join(lines) + "\n")
    listed = "\n".join(f"{number}. {note}" for number, note in enumerate(notes, start=1))
    parts.append(f"## Notes\n\n{listed}\n")
    return "\n".join(parts)


def read() -> dict[str, dict[str, str]]:
    """Return the cells of the document by estimator and kind of input, with their reasons."""
    text = PATH.read_text(encoding="utf-8")
    notes = [line.partition(". ")[2] for line in text.partition("## Notes")[2].split("\n") if line]
    found = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            path, *cells = (part.strip() for part in line.strip("|").split("|"))
            spelt = [_spelt(cell, notes) for cell in cells]
            found[path.strip("`")] = dict(zip(KINDS, spelt, strict=True))
    return found


def _spelt(cell: str, notes: list[str]) -> str:
    kind, _, number = cell.partition(" (")
    return f"{kind}: {notes[int(number[:-1]) - 1]}" if number else kind
