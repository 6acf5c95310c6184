"""Modules of Python → what each does and reaches, as digests that no comment changes."""

import ast
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

DIGITS = 16  # of a digest: enough to tell versions of one file apart, short enough to read
NAME = re.compile(r"(\w+(?:\.\w+)*):\w+")
# What a module says that imports others by names which its `import` lines do not have.
SEARCHING = (b"importlib", b"__import__", b"pkgutil", b"exec(")
LOOKUP = "resolve"  # of treeline.registry, by which a name becomes an object
HOLDERS = ("body", "orelse", "finalbody", "handlers", "cases")  # fields that hold statements


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
    looked_up = _looked_up(tree) if LOOKUP.encode() in payload else ()
    lookups = {names[used] for used in looked_up if used in names}
    return Module(_short(_spelled(tree)), tuple(sorted(imports)), tables, tuple(sorted(lookups)))


def _tree(payload: bytes) -> ast.Module | None:
    """Return the syntax tree of a module, None where Python cannot read it: its bytes count."""
    try:
        return ast.parse(payload)
    except (SyntaxError, ValueError):
        return None


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every statement, and what holds some, but those that only a type checker sees."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and _is_for_types(node.test):
            pending.extend(node.orelse)
        else:
            for field_name in HOLDERS:
                pending.extend(getattr(node, field_name, ()))


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


@dataclass(frozen=True)
class OwnFiles:
    """The files of src/own: the digest of each by its path below `src`, and the modules."""

    digests: dict[str, str]
    modules: dict[str, Module]
    paths: dict[str, str]  # of a module, by its name
    searching: frozenset[str]  # the modules that import by names that are not read here

    def followed(self, named: Collection[str]) -> dict[str, str]:
        """Return the digests of the files that the classes of some import paths may run or read."""
        if not named:
            return {}
        roots = {path.rpartition(".")[0] for path in named}
        names = reached(self.modules, roots, picks={}, left_out=())
        if names & self.searching:
            return self.digests
        strange = {self.paths[name] for name in self.modules if name not in names}
        return {path: each for path, each in self.digests.items() if path not in strange}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the files of a folder, without caches, which come and go."""
        files = sorted(path for path in folder.rglob("*") if path.is_file() and _counts(path))
        below = {path: path.relative_to(folder.parent).as_posix() for path in files}
        names = {_name(path, folder): path for path in files if path.suffix == ".py"}
        searching = (name for name, path in names.items() if _searches(path))
        return cls(
            digests={below[path]: file_digest(path) for path in files},
            modules={name: _module(path, name, names) for name, path in names.items()},
            paths={name: below[path] for name, path in names.items()},
            searching=frozenset(searching),
        )


def _searches(path: Path) -> bool:
    """Tell whether a module may import others by names that its `import` lines do not have."""
    payload = path.read_bytes()
    return _tree(payload) is None or any(word in payload for word in SEARCHING)


def _counts(path: Path) -> bool:
    """Tell whether a file is somebody's work: caches come and go, and DVC does not see them."""
    return path.suffix != ".pyc" and "__pycache__" not in path.parts
