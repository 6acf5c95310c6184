"""The contract of a model → random rows in every format, and boosted trees that take them."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import to_json
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from treeline.contract.encoding import Matrix
from treeline.contract.signature import Signature
from treeline.export.packaging import Proof, packaged
from treeline.files import digest
from treeline.trainers.columns import NamedColumns, TypedColumns

TREES = "boosted-trees"
ROWS = 1_000_000
CSV, LINES = "text/csv", "application/x-ndjson"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"


def random_codes(signature: Signature) -> Matrix:
    """Return rows within the contract, numbers with three digits behind the point."""
    rng = np.random.default_rng(0)
    columns = [
        rng.integers(0, len(feature.categories), ROWS).astype(np.float64)
        if feature.categories
        else np.round(rng.uniform(feature.minimum or 0, feature.maximum or 1, ROWS), 3)
        for feature in signature.features.values()
    ]
    return np.ascontiguousarray(np.column_stack(columns), dtype=np.float32)


def write_trees(root: Path, signature: Signature, matrix: Matrix) -> None:
    """Export a hundred boosted trees under the contract of a model."""
    noisy = matrix[:, 1] * 50 + matrix[:, 5] + np.random.default_rng(1).normal(0, 20, len(matrix))
    estimator = HistGradientBoostingClassifier(max_iter=100, random_state=0)
    kinds = {name: len(each.categories) for name, each in signature.features.items()}
    columns = TypedColumns(
        {name: count for name, count in kinds.items() if count}, [], onehot=False
    )
    steps = [("names", NamedColumns(list(kinds))), ("columns", columns), ("estimator", estimator)]
    pipeline = Pipeline(steps).fit(matrix, (noisy > 75).astype(np.int64))
    draft = dict(signature) | {"name": TREES, "default": False}
    for made in ("version", "runtime", "files", "example", "parity"):
        draft.pop(made)
    first: dict[str, bool | float | str | None] = {
        name: each.categories[int(code)] if each.categories else float(code)
        for (name, each), code in zip(signature.features.items(), matrix[0], strict=True)
    }
    proof = Proof(matrix, first=first, tolerance=1e-4, features=dict(signature.features))
    package = packaged(pipeline, draft, proof)
    digests = {}
    for name, payload in package.files.items():
        path = root / TREES / "artifact" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)
        digests[f"artifact/{name}"] = digest(path)
    complete = package.signature.model_copy(update={"files": digests})
    (root / TREES / "signature.json").write_text(complete.document(), encoding="utf-8")


def bodies_of(signature: Signature, matrix: Matrix) -> dict[str, bytes]:
    """Return the same rows in every format."""
    columns = {}
    for place, (name, feature) in enumerate(signature.features.items()):
        codes = matrix[:, place]
        if feature.categories:
            texts = pa.array(feature.categories)
            columns[name] = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), texts)
        else:
            columns[name] = pa.array(np.round(codes.astype(np.float64), 3))
    table = pa.table(columns)
    stream, parquet = pa.BufferOutputStream(), io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=65_536)
    pq.write_table(table, parquet)
    texts = [
        [value if isinstance(value, str) else repr(value) for value in column.to_pylist()]
        for column in table.columns
    ]
    lines = map(",".join, zip(*texts, strict=True))
    return {
        CSV: "\n".join([",".join(columns), *lines]).encode(),
        LINES: b"\n".join(map(to_json, table.to_pylist())),
        ARROW: stream.getvalue().to_pybytes(),
        PARQUET: parquet.getvalue(),
    }
