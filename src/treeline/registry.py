"""Declared name → class: a name is looked up in a literal table, or is itself an import path.

A class behind an import path is an installed library's, this package's, or stands in the folder
`src/own` of the repository. Code anywhere else is followed by no stage and by no lineage, and is
in no image.
"""

import sys
import sysconfig
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from treeline.errors import MissingExtraError, UnknownNameError

SOURCE_TREE = Path(__file__).resolve().parents[1]  # `src`, or where the wheel is installed
OURS = "treeline.trainers"  # the part of this package that has classes to declare
OWN = "own"
LIBRARY_FOLDERS = {"site-packages", "dist-packages"}

# Which task of make installs what an extra of this package stands for, and which image has it.
OF_THE_SERVICE = ("arrow", "images", "postgres", "registry", "s3", "signing", "tracing")
SETUPS = {
    **dict.fromkeys(OF_THE_SERVICE, "setup-full"),
    **dict.fromkeys(
        ("client", "import", "lab", "mlflow", "notebook", "optuna", "sql"), "setup-lab"
    ),
    **dict.fromkeys(("h2o", "spark"), "setup-engines"),
}
SETUP = "setup"  # of all other extras
MODELS_RECORD = "treeline.toml"  # what a repository of models has, whose lock files it adds
IMAGES = {**dict.fromkeys(OF_THE_SERVICE, "full"), "h2o": "h2o", "pickle": "pickle"}

# The driver that is installed here for a kind of database, and those that SQLAlchemy takes unsaid.
DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
UNSAID = {"mysql": "mysqldb", "mariadb": "mysqldb"}
MODULES = {"mysqldb": "MySQLdb", "mariadbconnector": "mariadb"}


def way_out(extra: str) -> str:
    """Return how to install what an extra brings: the words that end an error message.

    It is never `pip install .`, which would put a copy in the place of the checkout.
    """
    task = SETUPS.get(extra, SETUP)
    if Path(MODELS_RECORD).is_file() and task != SETUP:
        return (
            f"install it with: treeline upgrade --with {task.removeprefix('setup-')} && make setup"
        )
    command = f"install it with: make {task}"
    return f"{command} (in an image: RUNTIME={IMAGES[extra]})" if extra in IMAGES else command


def resolve(table: Mapping[str, str], name: str, *, place: str, extra: str | None = None) -> Any:
    """Return the object that `table` names as `package.module:attribute` under `name`.

    `place` is where the name was declared, for the message; `extra` is the extra of this package
    that brings an optional engine. Raises UnknownNameError and MissingExtraError.
    """
    if name not in table:
        raise UnknownNameError(f"{place}: {name!r} is not known; choose from {sorted(table)}")
    module, _, attribute = table[name].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("treeline"):
            raise
        raise MissingExtraError(
            f"{place}: {name!r} needs the package {error.name!r}; {way_out(extra or name)}"
        ) from error


def driver_fault(url: str) -> str | None:
    """Say what to write instead of the scheme of a database whose driver is not here, else None.

    Only the scheme is repeated, as what follows may hold a password.
    """
    scheme, _, _ = url.partition("://")
    kind, _, driver = scheme.partition("+")
    known = {"postgres": "postgresql"}.get(kind, kind)
    driver = driver or UNSAID.get(known, "")
    if known not in DRIVERS or (known == kind and (not driver or _is_installed(driver))):
        return None
    if known != kind:
        what = f"{kind!r} is no database"
    elif driver == DRIVERS[known]:
        return f"{scheme}:// needs the package {driver!r}; {way_out('sql')}"
    else:
        what = f"the driver {driver!r} is not installed"
    right = f"{known}+{DRIVERS[known]}://"
    return f"{what}; write {right} in the place of {scheme}:// and the rest stays"


def _is_installed(driver: str) -> bool:
    module = MODULES.get(driver, driver)
    return module.isidentifier() and find_spec(module) is not None


def load_class(path: str, *, place: str) -> type:
    """Return the class behind a dotted import path such as `sklearn.linear_model.Ridge`.

    Raises UnknownNameError when no such class can be imported from the declared path.
    """
    loaded = _loaded(path, place, "a class")
    if not isinstance(loaded, type):
        raise UnknownNameError(f"{place}: {path!r} is not a class; give the dotted path of one")
    return loaded


def load_function(path: str, *, place: str) -> Callable[..., Any]:
    """Return the function behind a dotted import path such as `own.rows.customers`.

    Raises UnknownNameError when nothing that can be called is there.
    """
    loaded = _loaded(path, place, "a function")
    if not callable(loaded):
        raise UnknownNameError(f"{place}: {path!r} is not a function; give the dotted path of one")
    function: Callable[..., Any] = loaded
    return function


def _loaded(path: str, place: str, what: str) -> object:
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownNameError(
            f"{place}: {path!r} cannot be imported ({error}); give the full dotted path of {what} "
            "that is installed, or of one of yours in src/own"
        ) from error
    except Exception as error:  # whatever a module of one's own does, a SyntaxError among it
        raise UnknownNameError(
            f"{place}: {path!r} cannot be imported ({type(error).__name__}: {error}); correct the "
            "module"
        ) from error


def own_folder() -> Path:
    """Return the folder of the project's own classes.

    It is `src/own` of the repository that is the working directory, whether this package stands
    there too or is installed, and without one the folder beside this package.
    """
    here = Path("src", OWN)
    return here.resolve() if here.is_dir() else SOURCE_TREE / OWN


def admit_own_classes() -> None:
    """Let `own` be imported from the repository that is the working directory, if from anywhere."""
    folder = own_folder().parent
    if folder != SOURCE_TREE and str(folder) not in sys.path[:1]:
        sys.path.insert(0, str(folder))  # an installed package brings an empty `own` of its own


def is_own(path: str) -> bool:
    """Tell whether an import path leads into the folder of the project's own classes."""
    return path.partition(".")[0] == OWN


def objection(path: str) -> str | None:
    """Say why a class may not come from where its import path leads; None where it may.

    Nothing is imported. A path that leads nowhere is `load_class`'s to refuse.
    """
    top = path.partition(".")[0]
    if top == "treeline":
        allowed = path.startswith(f"{OURS}.")
        return None if allowed else f"{path!r} is no class of {OURS}; {_way_out()}"
    places = _places(top)
    if is_own(path):
        strange = [place for place in places if place != own_folder()]
    else:
        strange = [place for place in places if not _is_library(place)]
    if not strange:
        return None
    return (
        f"{path!r} comes from {strange[0]}, which no stage follows and no image carries; "
        f"{_way_out()}"
    )


def _way_out() -> str:
    return (
        "move its module into src/own and name it own.<module>.<class> "
        "(docs/add-a-model.md), or install it as a library"
    )


def _places(top: str) -> list[Path]:
    """Return where the package or module of a name lies; nothing where there is none."""
    try:
        spec: ModuleSpec | None = find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None or spec.origin in ("built-in", "frozen"):
        return []
    places = list(spec.submodule_search_locations or [spec.origin or ""])
    return [Path(place).resolve() for place in places]


def _is_library(place: Path) -> bool:
    standard = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
    return bool(LIBRARY_FOLDERS & set(place.parts)) or any(
        place.is_relative_to(folder) for folder in standard
    )
