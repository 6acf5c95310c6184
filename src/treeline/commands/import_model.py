"""A model that was fitted elsewhere → a block of `params.yaml`, and its graph, tracked by DVC.

Rows say what its columns hold and let it be judged: a labelled table, from which the block is
drafted as `treeline add` drafts it, or those of a model that is declared already. The trainer
`imported` then judges it in the pipeline, and all that follows is as for any other.
"""

import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import ValidationError

from treeline.commands.add import Addition, addition, write
from treeline.commands.adopt import track
from treeline.commands.declaration import declared_before, declared_by
from treeline.config import PARAMS, read_params
from treeline.config.models import ModelSpec
from treeline.config.problems import problems
from treeline.config.sources import FileSource
from treeline.contract.features import Feature
from treeline.contract.signature import Parity
from treeline.contract.texts import RULE, is_slug, slug_of
from treeline.drafting.blocks import block_lines, with_block
from treeline.drafting.choices import Block, Draft
from treeline.drafting.hints import Hints
from treeline.errors import ConfigError, DataError, SourceError
from treeline.files import write_bytes
from treeline.intake import Said
from treeline.intake.graphs import graph_of
from treeline.intake.models import Model, read_model
from treeline.intake.proving import proved
from treeline.preparation.encoding import encoded
from treeline.preparation.whole import prepare
from treeline.registry import resolve
from treeline.sources import EXTRAS, SOURCES

FOLDER = Path("dataset/sources/models")
CANDIDATE = "imported"
NOTES = (
    "It was fitted elsewhere, and is judged as it came. Where the rows that judge it are among "
    "those that it has learnt from, its figures are too good."
)


@dataclass(frozen=True)
class Rows:
    """Where rows come from: a labelled `table` and its `target`, or the declared model `like`."""

    table: str | None = None
    target: str | None = None
    like: str | None = None


@dataclass(frozen=True)
class Import:
    """A model that can be declared: what `treeline add` would write, its graph, and its proof."""

    added: Addition
    path: Path
    graph: bytes
    parity: Parity
    made: str


def imported(place: str, rows: Rows, *, name: str | None, said: Said, hints: Hints) -> Import:
    """Return what `import` would write.

    Raises ArtifactRejectedError for the file, DataError, SourceError and ConfigError for the rows,
    and ExportError where no graph repeats the model.
    """
    model = read_model(place, said)
    name = name or slug_of(Path(place).stem)
    _check_options(rows, name)
    base = _like(rows.like, name) if rows.like else _drafted(rows, name, model, hints)
    spec = base.spec
    columns = _columns(model, said, spec, base.notes)
    features = {each: spec.features[each] for each in columns}
    raw = _collected(spec, base.payload)
    narrow = spec.model_copy(update={"features": features})
    prepared = prepare(raw, narrow)
    classes = tuple(prepared.summary["target"].get("classes", ()))
    frame = pd.concat([prepared.train, prepared.test], ignore_index=True)
    matrix = np.ascontiguousarray(encoded(frame, features).to_numpy())
    graph = graph_of(model, features, classes)
    parity = proved(model, graph, matrix, spec=narrow, classes=classes)
    path = FOLDER / f"{name}.onnx"
    block = _block(spec, features, path, graph)
    lines = block_lines(name, Draft(block, ()))
    text = with_block(PARAMS.read_bytes().decode("utf-8"), name, lines)
    declared = declared_by(text, PARAMS).models[name]
    added = replace(base, name=name, lines=tuple(lines), text=text, spec=declared)
    return Import(added, path, graph, parity, model.made)


def store(brought: Import) -> None:
    """Store graph and table, let DVC track them, and write the declaration last.

    Raises SourceError where another model has its place, and ConfigError; nothing is changed then.
    """
    path, before = brought.path, brought.path.exists()
    if before and path.read_bytes() != brought.graph:
        raise SourceError(f"{path}: is there already, with another content; give another --name")
    write_bytes(path, brought.graph)
    try:
        track(path)
        write(brought.added)
    except BaseException:
        if not before:
            for each in (path, path.with_name(f"{path.name}.dvc")):
                each.unlink(missing_ok=True)
        raise


def summary(brought: Import, *, written: bool) -> str:
    """Return the block, and where it is and what comes next, where it is written."""
    block, parity = "\n".join(brought.added.lines), brought.parity
    proof = (
        f"its graph repeats {brought.made} on {parity.rows:,} rows of the table and "
        f"{parity.admitted_rows:,} made of them within {parity.largest_difference:.2g}"
    )
    if not written:
        return f"{block}\n\n{proof}"
    return (
        f"{block}\n\n{proof}\n{brought.added.name} is declared in {PARAMS}; {brought.path} is "
        f"tracked by DVC. Correct the words there, then:\n  make train MODEL={brought.added.name}"
    )


def _check_options(rows: Rows, name: str) -> None:
    if not is_slug(name):
        raise ConfigError(f"--name {name}: {RULE}; such as {slug_of(name)}")
    before = declared_before(PARAMS)
    declared = {} if before is None else before.models
    if name in declared:
        raise ConfigError(f"{PARAMS}: models.{name}: declared already; give another by --name")
    if rows.like is None and (rows.table is None or rows.target is None):
        raise ConfigError(
            "what the columns hold is not known of a fitted model, nor how good it is: give rows "
            "with their truth by --table rows.csv --target left, or a declared model that has the "
            f"same columns by --like (there are {', '.join(declared) or 'none'})"
        )
    if rows.like is not None and rows.table is not None:
        raise ConfigError("--like and --table: both say where rows come from; give one of them")
    if rows.like is not None and rows.like not in declared:
        raise ConfigError(
            f"--like {rows.like}: not declared; there are {', '.join(declared) or 'none'}"
        )


def _like(like: str, name: str) -> Addition:
    spec = read_params().models[like]
    return Addition(name, (), (f"rows and columns are those of {like}",), "", spec, None, b"")


def _drafted(rows: Rows, name: str, model: Model, hints: Hints) -> Addition:
    """Return a draft whose task is that of the model."""
    assert rows.table is not None and rows.target is not None  # the caller has looked
    if hints.task is None and model.classes is not None:
        kinds = {0: "regression", 2: "binary"}
        hints = replace(hints, task=kinds.get(len(model.classes), "multiclass"))  # type: ignore[arg-type]
    return addition(rows.table, rows.target, name=name, hints=hints)


def _columns(model: Model, said: Said, spec: ModelSpec, notes: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that a model takes, in its order; raises DataError, naming an option."""
    names = said.features or model.names
    if names is None:
        raise DataError(
            "the model does not say which columns it takes, and in which order; say it: "
            f"--features {','.join(spec.features)}"
        )
    if lost := [name for name in names if name not in spec.features]:
        why = next((f": {note}" for note in notes if note.startswith(f"left out: {lost[0]}")), "")
        raise DataError(
            f"the model takes {lost[0]!r}, which is no feature of these rows{why}; declare a model "
            "with it and say --like, or say by --features what the columns are called"
        )
    return tuple(names)


def _collected(spec: ModelSpec, payload: bytes) -> pd.DataFrame:
    """Return the rows of the table that is to be stored, or of the declared source."""
    kind, source = spec.source.kind, spec.source
    source_class = resolve(SOURCES, kind, place="source.kind", extra=EXTRAS.get(kind))
    if not payload or not isinstance(source, FileSource):
        return _frame(source_class(source).tables())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(source.path).name
        path.write_bytes(payload)
        return _frame(source_class(source.model_copy(update={"path": str(path)})).tables())


def _frame(tables: Iterable[pa.Table]) -> pd.DataFrame:
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame


def _block(spec: ModelSpec, features: dict[str, Feature], path: Path, graph: bytes) -> Block:
    """Return the block: that of the rows, with the model as its only candidate."""
    block: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    block["notes"] = NOTES
    block["features"] = {name: block["features"][name] for name in features}
    options = {"path": path.as_posix(), "sha256": hashlib.sha256(graph).hexdigest()}
    block["candidates"] = {CANDIDATE: {"trainer": "imported", "options": options}}
    block["search"] = {"folds": spec.search.folds}
    for key in ("split", "gate", "champion"):
        block.setdefault(key, {})
    try:
        ModelSpec.model_validate(block)
    except ValidationError as error:
        raise ConfigError("\n".join(problems(error, block))) from None
    return block
