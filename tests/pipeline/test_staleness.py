"""What is out of date after an edit of the code: what its result hangs on, and nothing else."""

import json

from tests.checkout import Checkout
from treeline.stages.dependencies import PLUMBING, STAGES

OF_BOTH = {stage: {f"{stage}@flowers", f"{stage}@sugar"} for stage in STAGES}

# A stage, started as DVC starts it, and the modules of the package that were imported at its end.
IMPORTED = """
import sys
from treeline.stages.__main__ import main
main(sys.argv[1:])
print(*sorted(name for name in sys.modules if name.partition(".")[0] == "treeline"))
"""
# These start a stage, whichever it is.
STARTING = {"treeline.delivery", "treeline.delivery.progress", "treeline.stages.__main__",
            "treeline.stages.forking", "treeline.stages.running"}  # fmt: skip


def add(clone: Checkout, module: str, text: str) -> None:
    """Write lines to the end of a module."""
    path = clone.root / "src" / "treeline" / module
    path.write_text(path.read_text() + text)


def stale(clone: Checkout) -> set[str]:
    """Return the stages that DVC would run."""
    return set(json.loads(clone.run("dvc", "status", "--json").stdout))


def run(clone: Checkout, *targets: str) -> set[str]:
    """Reproduce, and return the stages that ran."""
    lines = clone.run("dvc", "repro", *targets).stdout.splitlines()
    return {line.split("'")[1] for line in lines if line.startswith("Running stage")}


def test_comments_and_docstrings_make_nothing_stale_but_what_reads_the_code(
    clone: Checkout,
) -> None:
    path = clone.root / "src" / "treeline" / "config" / "models.py"
    text = path.read_text()
    docstring = '"""A class by its import path, with the options its constructor is given."""'
    assert docstring in text
    path.write_text(
        text.replace(docstring, f"{docstring[:-3]}\n\n    So it is.\n    {docstring[-3:]}")
    )
    add(clone, "trainers/sklearn.py", "\n\n# Another thought.\n")
    assert stale(clone) == {"code"}
    assert run(clone) == {"code"}
    changed = clone.run("git", "status", "--porcelain").stdout.split()
    assert {name for name in changed if not name.startswith(("M", "src/"))} == {"dvc.lock"}
    assert stale(clone) == set()


# Each edit is made on top of those above it.
EDITS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("trainers/h2o.py", "delivery/progress.py", "engines/java.py", "engines/supervision.py"), ()),
    (("plots/images.py",), ("evaluate",)),
    (("reports/training.py",), ("evaluate", "gate")),
    (("sources/library.py",), ("collect", "evaluate", "gate")),
    (("reports/card.py",), ("collect", "evaluate", "gate", "export")),
    (("trainers/sklearn.py",), ("collect", "train", "evaluate", "gate", "export")),
    (("stages/arithmetic.py",), STAGES),
)


def test_a_change_makes_stale_what_its_result_hangs_on(clone: Checkout) -> None:
    for modules, stages in EDITS:
        for module in modules:
            add(clone, module, "\n\nANOTHER = 1\n")
        assert run(clone, "digest") == {"code", "digest"}
        assert stale(clone) == set().union(*(OF_BOTH[stage] for stage in stages)), modules


def test_stages_import_what_they_follow_and_plumbing(clone: Checkout) -> None:
    for stage in STAGES:
        imported = clone.python("-c", IMPORTED, stage, "flowers").stdout.splitlines()[-1].split()
        path = clone.root / "model" / "inputs" / "flowers" / f"{stage}.json"
        followed = set(json.loads(path.read_text())["code"])
        assert set(imported) - followed <= PLUMBING | STARTING, stage
