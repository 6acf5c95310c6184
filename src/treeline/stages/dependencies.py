"""The code and a declaration → what each stage of a model follows."""

import ast
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any, Self

from treeline.config.models import BASELINE, Candidate, ModelSpec
from treeline.config.sources import SourceSpec
from treeline.registry import is_own, own_folder

DIGITS = 16  # of a digest: enough to tell versions of one file apart, short enough to read
NAME = re.compile(r"(\w+(?:\.\w+)*):\w+")
LOOKUP = "resolve"  # of treeline.registry, by which a name becomes an object


@dataclass(frozen=True)
class Module:
    """A module: its digest, the modules that it imports, its tables, the tables it looks up in.

    `tables` holds by name which module each entry leads to; `lookups` holds `module:TABLE`.
    """

    digest: str
    imports: tuple[str, ...] = ()
    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    lookups: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave, read back from JSON."""
        return cls(
            digest=data["digest"],
            imports=tuple(data["imports"]),
            tables=data["tables"],
            lookups=tuple(data["lookups"]),
        )


def read_modules(package: Path) -> dict[str, Module]:
    """Return the modules of a package by their full name, in sorted order."""
    files = {_name(path, package): path for path in package.rglob("*.py")}
    return {name: _module(files[name], name, files) for name in sorted(files)}


def reached(
    modules: Mapping[str, Module],
    roots: Collection[str],
    *,
    picks: Mapping[str, Collection[str]],
    left_out: Collection[str],
) -> set[str]:
    """Return the modules that those in `roots` reach, themselves and their packages included.

    `picks` names the entries of a table that are looked up; without it all of them are. What is
    reached through a module in `left_out` alone is left out with it.
    """
    closure: set[str] = set()
    pending = set(roots)
    while pending:
        name = pending.pop()
        if name in closure or name in left_out or name not in modules:
            continue
        closure.add(name)
        pending |= {name.rpartition(".")[0], *modules[name].imports}
        for lookup in modules[name].lookups:
            holder, _, table = lookup.partition(":")
            entries = modules[holder].tables.get(table, {}) if holder in modules else {}
            picked = picks.get(lookup, entries)
            pending |= {module for entry, module in entries.items() if entry in picked}
    return closure


def file_digest(path: Path) -> str:
    """Return the digest of a file: of the syntax tree of a module, of the bytes of another file."""
    payload = path.read_bytes()
    tree = _tree(payload) if path.suffix == ".py" else None
    return _short(payload if tree is None else _spelled(tree))


def _name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _module(path: Path, name: str, known: Collection[str]) -> Module:
    payload = path.read_bytes()
    tree = _tree(payload)
    if tree is None:
        return Module(_short(payload))
    imports, names = set[str](), dict[str, str]()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom):
            holder = _holder(node, name, is_package=path.name == "__init__.py")
            for alias in node.names:
                whole = f"{holder}.{alias.name}"
                imports |= {each for each in (holder, whole) if each in known}
                names[alias.asname or alias.name] = f"{holder}:{alias.name}"
    tables = _tables(tree, known)
    names |= {table: f"{name}:{table}" for table in tables}
    lookups = {names[used] for used in _looked_up(tree) if used in names}
    return Module(_short(_spelled(tree)), tuple(sorted(imports)), tables, tuple(sorted(lookups)))


def _tree(payload: bytes) -> ast.Module | None:
    """Return the syntax tree of a module, None where Python cannot read it: its bytes count."""
    try:
        return ast.parse(payload)
    except (SyntaxError, ValueError):
        return None


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node but those that only a type checker sees."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and _is_for_types(node.test):
            pending.extend(node.orelse)
        else:
            pending.extend(ast.iter_child_nodes(node))


def _is_for_types(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _holder(node: ast.ImportFrom, name: str, *, is_package: bool) -> str:
    """Return the full name of the module that something is imported from."""
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    base = parts[: len(parts) - node.level + is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def _tables(tree: ast.Module, known: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the dictionaries at the top of a module that lead to modules of the package."""
    tables: dict[str, dict[str, str]] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Dict):
            entries = dict(_entries(value, known))
            tables |= {target.id: entries} if entries else {}
    return tables


def _entries(table: ast.Dict, known: Collection[str]) -> Iterator[tuple[str, str]]:
    for key, value in zip(table.keys, table.values, strict=True):
        for node in ast.walk(value):
            text = node.value if isinstance(node, ast.Constant) else None
            match = NAME.fullmatch(text) if isinstance(text, str) else None
            if match and match[1] in known and isinstance(key, ast.Constant):
                yield str(key.value), match[1]


def _looked_up(tree: ast.Module) -> Iterator[str]:
    """Yield each name that stands in the first argument of a call of `resolve`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == LOOKUP and node.args:
            yield from (part.id for part in ast.walk(node.args[0]) if isinstance(part, ast.Name))


def _spelled(tree: ast.AST) -> bytes:
    parts: list[str] = []
    _spell(tree, parts)
    return "".join(parts).encode()


def _spell(value: Any, parts: list[str]) -> None:
    """Append a node to `parts`, the same in each version of Python.

    A field that is empty or that another version lacks is left out, and so is what does nothing: a
    text by itself, which is a docstring, `pass`, and the empty parts that 3.12 adds to f-strings.
    """
    if isinstance(value, ast.AST):
        parts.append(f"({type(value).__name__}")
        for name in value._fields:
            content = getattr(value, name, None)
            if isinstance(value, ast.JoinedStr) and name == "values":
                content = [part for part in value.values if getattr(part, "value", None) != ""]
            if content is not None and content != [] and name not in ("ctx", "kind"):
                parts.append(f" {name}=")
                _spell(content, parts)
        parts.append(")")
    elif isinstance(value, list):
        parts.append("[")
        for item in value:
            if not _does_nothing(item):
                _spell(item, parts)
        parts.append("]")
    else:
        parts.append(ascii(value))


def _does_nothing(item: Any) -> bool:
    is_text = (
        isinstance(item, ast.Expr)
        and isinstance(item.value, ast.Constant)
        and isinstance(item.value.value, str)
    )
    return is_text or isinstance(item, ast.Pass)


def _short(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()[:DIGITS]


STAGES = ("collect", "prepare", "train", "evaluate", "gate", "export")

# Stages that open what another one pickled: its classes are imported when they are opened.
OPENS = {"evaluate": "train", "export": "train"}
RUNS_OWN = ("train", "evaluate", "export")  # the stages that run classes of src/own

# Keys of a block that cannot change what a stage writes; `collect` reads the source alone. A stage
# that is not here follows the whole block, and a new key is followed until it is listed.
WORDS = {"description", "notes"}
WATCHING = {"monitor"}
JUDGING = {"evaluation", "gate", "export"} | WATCHING
IGNORES: dict[str, set[str]] = {
    "collect": set(ModelSpec.model_fields) - {"source"},
    "prepare": WORDS | JUDGING | {"candidates", "search", "champion"},
    "train": WORDS | JUDGING | {"source"},
    "evaluate": WATCHING,
    "gate": WATCHING,
    "export": WATCHING,
}

# The stages whose code decides what a model is. The signature holds its digest, so that `export`,
# which writes it, follows all of it.
MAKING = ("prepare", "train", "export")

# These carry out what others decide: nothing in them changes what a stage writes. The package
# itself holds its version and the names of the library.
PLUMBING = frozenset(
    {
        "treeline",
        "treeline.config.monitor",
        "treeline.config.problems",
        "treeline.engines.java",
        "treeline.engines.keeper",
        "treeline.engines.supervision",
        "treeline.errors",
        "treeline.files",
        "treeline.registry",
    }
)


def _sources(spec: ModelSpec) -> list[SourceSpec]:
    base = getattr(spec.source, "base", None)
    return [spec.source, *([base] if base is not None else [])]


def _trainers(spec: ModelSpec) -> set[str]:
    """Return the trainers of the candidates, and that of the baseline where none is declared."""
    usual = () if BASELINE in spec.candidates else (Candidate.model_fields["trainer"].default,)
    return {*usual, *(candidate.trainer for candidate in spec.candidates.values())}


PICKS: dict[str, Callable[[ModelSpec], Collection[str]]] = {
    "treeline.preparation:PREPARERS": lambda spec: {spec.split.engine},
    "treeline.sources:SOURCES": lambda spec: {each.kind for each in _sources(spec)},
    "treeline.sources.simulators:SIMULATORS": lambda spec: {
        each.simulator for each in _sources(spec) if each.kind == "simulate"
    },
    "treeline.trainers:TRAINERS": _trainers,
    "treeline.trainers.searching:ENGINES": lambda spec: {spec.search.engine},
    "treeline.trainers.searching:STRATEGIES": lambda spec: {spec.search.strategy},
}


def stage_inputs(
    spec: ModelSpec, modules: Mapping[str, Module], *, default: bool
) -> dict[str, dict[str, Any]]:
    """Return, by stage, what it follows: `code`, digests by module, and `declaration`, JSON data.

    `default` says whether the model answers where a request names none; it is in the signature.
    """
    code = stage_code(spec, modules)
    code["export"] = {name: each for stage in MAKING for name, each in code[stage].items()}
    inputs: dict[str, dict[str, Any]] = {}
    for stage in STAGES:
        block = spec.model_dump(by_alias=True, exclude_defaults=True, exclude=IGNORES.get(stage))
        inputs[stage] = {"declaration": _plain(block), "code": dict(sorted(code[stage].items()))}
    inputs["export"]["default"] = default
    return inputs


def _plain(value: Any) -> Any:
    """Return a declared value as JSON data; what is declared otherwise is other data.

    The order of keys stays: it is that of the columns, for the features. Keys of JSON are texts, so
    that a mapping with other keys becomes its pairs.
    """
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(each) for key, each in value.items()}
        return {"pairs": [[_plain(key), _plain(each)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    # YAML reads an unquoted date or time as such; JSON knows neither of them, nor infinity.
    if isinstance(value, date) or (isinstance(value, float) and not isfinite(value)):
        return {type(value).__name__: str(value)}
    return value


def stage_code(spec: ModelSpec, modules: Mapping[str, Module]) -> dict[str, dict[str, str]]:
    """Return, by stage, the digest of each module that it runs, in sorted order.

    Where the model names a class of `src/own`, its files are among them by their path below `src`:
    all of them, as a class may read a table that lies beside it.
    """
    runs = _stages_of_own(spec)
    own = _own_files() if runs else {}
    digests = {}
    for stage in STAGES:
        names = sorted(stage_modules(stage, spec, modules))
        code = {name: modules[name].digest for name in names}
        digests[stage] = code | (own if stage in runs else {})
    return digests


def _stages_of_own(spec: ModelSpec) -> set[str]:
    """Return the stages that run a class or a function of src/own."""
    functions = [getattr(each, "function", "") for each in _sources(spec)]
    collects = {"collect"} if any(map(is_own, functions)) else set()
    return {*(RUNS_OWN if spec.own_classes else ()), *collects}


def stage_modules(stage: str, spec: ModelSpec, modules: Mapping[str, Module]) -> set[str]:
    """Return the modules of this package that a stage runs for a model, without the plumbing."""
    paths = [path for each in spec.candidates.values() for path in each.class_paths]
    named = {path.rpartition(".")[0] for path in paths}
    roots = {"treeline.stages.arithmetic"}
    for each in {stage, OPENS.get(stage, stage)}:
        roots |= {f"treeline.stages.{each}", *(named if each == "train" else ())}
    picks = {table: pick(spec) for table, pick in PICKS.items()}
    return reached(modules, roots, picks=picks, left_out=PLUMBING)


def _own_files() -> dict[str, str]:
    folder = own_folder()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and _counts(path))
    return {path.relative_to(folder.parent).as_posix(): file_digest(path) for path in files}


def _counts(path: Path) -> bool:
    """Tell whether a file is somebody's work: caches come and go, and DVC does not see them."""
    return path.suffix != ".pyc" and "__pycache__" not in path.parts
