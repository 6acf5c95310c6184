"""dvc.lock, stage by stage: which models it knows, and some models' stages as they were.

The file is cut at its lines, as DVC writes them, so that what stays is the same to the byte.
"""

from collections.abc import Collection
from pathlib import Path

from ruamel.yaml import YAML

from treeline.config.layout import INPUTS, SOURCES, Layout
from treeline.delivery import repository
from treeline.files import write_text

LOCK = Path("dvc.lock")
RUNNING = Path(".dvc/tmp/rwlock")  # which paths stages of DVC read and write: JSON, or it stops
HEAD = "HEAD"


def digest_of(path: Path) -> str | None:
    """Return DVC's digest of an output, None where dvc.lock knows none."""
    document = YAML(typ="safe").load(_text(LOCK)) or {}
    outputs = (
        out for stage in document.get("stages", {}).values() for out in stage.get("outs", ())
    )
    return next((out.get("md5") for out in outputs if out["path"] == path.as_posix()), None)


def leftovers(declared: Collection[str]) -> list[str]:
    """Return the models that dvc.lock or a signature knows and that are declared no more."""
    stages = {name.partition("@")[2] for name in _blocks(_text(LOCK))[1]} - {""}
    exported = {path.parent.name for path in Path().glob("model/*/signature.json")}
    reserved = {INPUTS.name, SOURCES.name}
    return sorted((stages | exported) - set(declared) - reserved)


def drop(models: Collection[str]) -> None:
    """Take the stages of models out of dvc.lock."""
    head, blocks = _blocks(_text(LOCK))
    left = {name: block for name, block in blocks.items() if name.partition("@")[2] not in models}
    if left != blocks:
        write_text(LOCK, head + "".join(left.values()))


def restore(models: Collection[str]) -> None:
    """Put the stages of models back to what HEAD has: what of theirs is here is not published."""
    if not models or not LOCK.is_file():
        return
    head, blocks = _blocks(_text(LOCK))
    _, before = _blocks(repository.shown(HEAD, LOCK) or "")
    remaining = {
        name: block for name, block in blocks.items() if name.partition("@")[2] not in models
    }
    remaining |= {name: block for name, block in before.items() if name.partition("@")[2] in models}
    ordered = [name for name in blocks if name in remaining]
    ordered += [name for name in remaining if name not in blocks]
    write_text(LOCK, head + "".join(remaining[name] for name in ordered))


def files_of(model: str) -> list[str]:
    """Return the folders that the stages of a model write."""
    paths = Layout(model)
    return [path.as_posix() for path in (paths.model, paths.dataset)]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _blocks(text: str) -> tuple[str, dict[str, str]]:
    """Return what stands before the first stage, and the lines of each stage by its name."""
    head: list[str] = []
    blocks: dict[str, list[str]] = {}
    lines = head
    for line in text.splitlines(keepends=True):
        if line.startswith("  ") and line[2] not in " -#" and line.rstrip().endswith(":"):
            lines = blocks.setdefault(line.strip().rstrip(":").strip("'\""), [])
        lines.append(line)
    return "".join(head), {name: "".join(block) for name, block in blocks.items()}
