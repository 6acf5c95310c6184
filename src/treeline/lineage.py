"""What a model was made from, as digests: data, declaration, code, library versions.

Code is what the stages run that decide what the model is (`treeline.stage_code.MAKING`).

Neither the commit nor the time is part of it: git knows them, and they would change the bytes of
every export. Nor is the version of Python: each one makes the same model.
"""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.contract.signature import Lineage
from treeline.files import digest

LIBRARIES = ("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "skl2onnx", "xgboost-cpu")


def lineage(paths: Layout, spec: ModelSpec, *, training: dict[str, Any]) -> Lineage:
    """Return the lineage of the champion in `training`, the record of the train stage."""
    champion = training["candidates"][training["champion"]]
    return Lineage(
        data={path.name: digest(path) for path in (paths.train, paths.test)},
        params=_digest_of(spec.model_dump(mode="json", by_alias=True)),
        code=code_digest(paths),
        libraries=_versions(),
        champion=training["champion"],
        estimator=champion["estimator"],
        hyperparameters=champion["hyperparameters"],
    )


def code_digest(paths: Layout) -> str:
    """Return the SHA-256 over the code that made a model, as the stage digest has written it."""
    inputs = json.loads((paths.inputs / "export.json").read_text(encoding="utf-8"))
    return _digest_of(inputs["code"])


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
