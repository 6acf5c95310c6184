"""What a model was made from, as digests: data, declaration, code, library versions.

Neither the commit nor the time is part of it: git knows them, and they would change the bytes of
every export.
"""

import hashlib
import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import treeline
from treeline.artifact.signature import Lineage
from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.files import digest

LIBRARIES = ("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "skl2onnx", "xgboost-cpu")

# The code that decides what a model is: what the stages prepare, train and export run.
CODE = (
    "artifact",
    "config",
    "preparation",
    "trainers",
    "conversion.py",
    "exporting.py",
    "lineage.py",
    "metrics.py",
    "training.py",
)


def lineage(paths: Layout, spec: ModelSpec, *, training: dict[str, Any]) -> Lineage:
    """Return the lineage of the champion in `training`, the record of the train stage."""
    champion = training["candidates"][training["champion"]]
    return Lineage(
        data={path.name: digest(path) for path in (paths.train, paths.test)},
        params=_digest_of(spec.model_dump(mode="json", by_alias=True)),
        code=code_digest(),
        libraries={"python": f"{sys.version_info.major}.{sys.version_info.minor}", **_versions()},
        champion=training["champion"],
        estimator=champion["estimator"],
        hyperparameters=champion["hyperparameters"],
    )


def code_digest() -> str:
    """Return the SHA-256 over the names and bytes of the modules in CODE."""
    package = Path(treeline.__file__).parent
    roots = [package / name for name in CODE]
    files = sorted(
        path for root in roots for path in ([root] if root.is_file() else root.rglob("*.py"))
    )
    return _digest_of({str(path.relative_to(package)): digest(path) for path in files})


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # an estimator of another library does not need it
    return found


def _digest_of(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
