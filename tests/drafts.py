"""What the signature of a small model says before its artifact is made."""

from collections.abc import Mapping, Sequence
from typing import Any

from treeline.contract.features import Feature, Target, Task
from treeline.contract.signature import Lineage, Verdict

SOME_DIGEST = "0" * 64
LINEAGE = Lineage(
    data={}, params=SOME_DIGEST, code=SOME_DIGEST, libraries={}, champion="one", estimator="one",
    hyperparameters={},
)  # fmt: skip


def draft(task: Task, features: Mapping[str, Feature], classes: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a signature; the last of two classes is the positive one."""
    positive = {"positive": classes[-1]} if task == "binary" else {}
    return {
        "name": "fates",
        "metrics": {},
        "verdict": Verdict(passed=True, reasons=()),
        "lineage": LINEAGE,
        "reference": {},
        "target": Target(name="fate", task=task, **positive),
        "classes": () if task == "regression" else tuple(classes),
        "features": features,
    }
