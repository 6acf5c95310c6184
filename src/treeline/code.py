"""The files of a package → what each module does, as a digest, and what it reaches; nothing runs.

A digest is taken of the syntax tree without what has no effect: comments, layout and docstrings
change nothing, and every version of Python gives the same digest.

A module reaches what it imports, and what it looks up with `resolve` in a table of names: a
dictionary at the top of a module whose values hold `package.module:attribute`.
"""

import ast
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

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
