"""A folder → a repository of models: its files, in a first commit of git.

Where a table is named, its model is drafted into the declaration: by this Treeline if it has what
that needs, and else by the one that the new repository installs.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from treeline import __version__
from treeline.config.layout import SOURCES
from treeline.contract.texts import slug_of
from treeline.delivery.processes import run
from treeline.errors import ScaffoldError
from treeline.scaffold.contents import EMPTY, PARAMS, README, RECORD, Answers, contents
from treeline.scaffold.origin import framework
from treeline.scaffold.writing import commit, recorded, top_of, write_files

BRANCH = "main"
DRAFTING = ("pandas", "pyarrow", "sklearn", "dvc", "ruamel")  # what `treeline add` imports or runs
LIBRARY = "library:"
SHOWN = 5  # files that an error names


@dataclass(frozen=True)
class Draft:
    """A table to draft the first model from, a path or `library:…`, and the column to predict."""

    table: str
    target: str


def new(
    root: Path,
    *,
    example: str,
    source: str | None = None,
    locks: tuple[str, ...] = (),
    draft: Draft | None = None,
) -> str:
    """Make a repository of models in a folder that is new, or has none of its files yet.

    `source` is where the framework is to be installed from; None is where this one is from. Returns
    what comes next. Raises ScaffoldError before anything is written, and where no model could be
    drafted from the table.
    """
    if file := next((each for each in (root, *root.parents) if each.is_file()), None):
        raise ScaffoldError(f"{root}: {file} is a file; name a folder that is new or has no files")
    top = top_of(root.absolute())
    if top is not None and top.resolve() != root.resolve():
        raise ScaffoldError(f"{root}: lies in the repository {top}; name a folder outside of it")
    table = _located(draft.table) if draft else ""
    name = slug_of(root.resolve().name) or "models"
    answers = Answers(name, EMPTY if draft else example, tuple(sorted(set(locks))))
    files = contents(answers) | framework(source)
    if (root / README).is_file():
        del files[README]  # a repository that was made at its host has one
    files[RECORD] = recorded(__version__, answers, files).to_text().encode()
    if there := [path for path in files if os.path.lexists(root / path)]:
        more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
        raise ScaffoldError(
            f"{root}: has {', '.join(there[:SHOWN])}{more} already, and nothing is written over; "
            "name a folder without them"
        )
    write_files(root, files)
    if top is None:
        run("git", "init", "--quiet", "--initial-branch", BRANCH, cwd=root)
    commit(root, f"Make a repository of models with Treeline {__version__}", *files, ignored=True)
    if draft:
        _add(root, Draft(table, draft.target))
        commit(root, f"Draft a model of {draft.target}", PARAMS, SOURCES.as_posix())
    add = answers.example == EMPTY and not draft
    task = "add FILE=path/to/table.csv TARGET=column" if add else "run"
    made = f"{len(files)} files are in {root}, committed. Next:"
    return f"{made}\n  cd {quote(str(root))}\n  make {task}"


def _located(table: str) -> str:
    """Return a table by a path that holds in another folder; raises ScaffoldError."""
    if table.startswith(LIBRARY):
        return table
    if not Path(table).is_file():
        raise ScaffoldError(f"{table}: not a file; give a CSV or Parquet file, or library:iris")
    return str(Path(table).resolve())


def _add(root: Path, draft: Draft) -> None:
    """Draft a model into the declaration of a new repository."""
    arguments = ["add", draft.table, "--target", draft.target]
    if all(map(find_spec, DRAFTING)):
        tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        command, environment = [sys.executable, "-P", "-m", "treeline"], {"PATH": tools}
    else:
        if subprocess.run(["make", "setup"], cwd=root, check=False).returncode:
            raise ScaffoldError(f"{root}: is made, and `make setup` failed there, as said above")
        command, environment = [".venv/bin/python", "-P", "-m", "treeline"], {}
        environment["PATH"] = f"{root.resolve() / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*command, *arguments], cwd=root, env={**os.environ, **environment}, check=False
    )
    if done.returncode:
        raise ScaffoldError(
            f"{root}: is made, and {PARAMS} declares no model yet, for the reason above; in it:\n"
            f"  make add FILE={quote(draft.table)} TARGET={quote(draft.target)} ARGS='…'"
        )
