"""A data file of your own → the rows that a model learns from, tracked by DVC."""

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from treeline.config import PARAMS, Params, read_params
from treeline.config.models import ModelSpec
from treeline.config.sources import FILES, FileSource
from treeline.errors import SourceError
from treeline.files import replacing, write_text
from treeline.preparation.columns import declared_columns
from treeline.sources.files import FileTables

# What a source says whatever its kind.
SHARED_KEYS = ("columns", "where", "delimiter", "missing", "key")


def adopt(model: str, file: Path, *, params: Path = PARAMS) -> FileSource:
    """Copy `file` below dataset/sources/file, let DVC track it, and declare it as the source.

    The declared columns are looked for first; the copy and the declaration are each written whole,
    the declaration last. Raises ConfigError, SourceError and DataError; nothing is changed then.
    """
    declared = read_params(params).models
    if model not in declared:
        raise SourceError(
            f"{params}: models.{model}: not declared; there are {', '.join(declared)}"
        )
    if not file.is_file():
        raise SourceError(f"{file}: not a file")
    target = Path(FILES) / file.name
    yaml, document = _round_trip(params)
    source = document["models"][model]["source"]
    for key in [key for key in source if key not in SHARED_KEYS]:
        del source[key]
    source.insert(0, "kind", "file")
    source.insert(1, "path", str(target))
    spec = Params.model_validate(_plain(document)).models[model]
    assert isinstance(spec.source, FileSource)  # it was declared so three lines above
    _look(file, spec)
    if file.resolve() != target.resolve():
        with replacing(target) as draft:
            shutil.copyfile(file, draft)
    track(target)
    text = io.StringIO()
    yaml.dump(document, text)
    write_text(params, text.getvalue())
    return spec.source


def _round_trip(params: Path) -> tuple[YAML, Any]:
    """Return a parser that keeps comments and layout, and the document it read."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000  # leave lines as long as they are
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml, yaml.load(params.read_text(encoding="utf-8"))


def _plain(document: Any) -> Any:
    text = io.StringIO()
    YAML().dump(document, text)
    return YAML(typ="safe", pure=True).load(text.getvalue())


def _look(file: Path, spec: ModelSpec) -> None:
    """Raise when the file cannot be read or lacks a declared column."""
    assert isinstance(spec.source, FileSource)
    probe = FileTables(spec.source.model_copy(update={"path": str(file)}))
    for table in probe.tables():
        declared_columns(table.slice(0, 0).to_pandas(), spec)
        return
    raise SourceError(f"{file}: has no rows")


def track(target: Path) -> None:
    """Let DVC track a file; raises SourceError."""
    done = subprocess.run(
        ["dvc", "add", "--quiet", str(target)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise SourceError(f"{target}: dvc add failed: {done.stderr.strip()}")
