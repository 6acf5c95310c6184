"""Answers → the files of a repository of models, each by its path; nothing is written.

A file is one of this framework's repository, as it is there, or a template of `files`. Words that
stand as `%%NAME%%` are filled in. A wheel carries both (`treeline.scaffold.carrying`).
"""

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from treeline.errors import ScaffoldError
from treeline.registry import SOURCE_TREE

HERE = Path(__file__).parent
CARRIED, CHECKOUT, TEMPLATES = HERE / "carried", SOURCE_TREE.parent, HERE / "files"
SUFFIX = ".in"

PARAMS, README = "params.yaml", "README.md"
RECORD, FRAMEWORK = "treeline.toml", "requirements/treeline.txt"
EXECUTABLE = frozenset({".ci/emulate", "initializer.sh"})
KINDS = ("file", "library", "predictions", "spark", "sql", "url")  # of sources, beside `simulate`

# As they are in the repository of the framework.
SAME = (
    ".ci/emulate", ".ci/remote.py", ".dvc/.gitignore", ".dvc/plots/chart.json", ".dvcignore",
    ".gitattributes", ".github/actions/remote/action.yml", ".github/workflows/deploy.yml",
    ".github/workflows/monitor.yml", ".github/workflows/retrain.yml", "dvc.yaml", "initializer.sh",
    "requirements/build.txt", "requirements/test.txt", "requirements/train.txt",
    "requirements/serve.txt", *(f"dataset/sources/{kind}/README.md" for kind in KINDS),
)  # fmt: skip
OF_A_TEMPLATE = {
    ".dockerignore": "dockerignore",
    ".dvc/config": "dvc-config",
    ".github/workflows/review.yml": "workflows/review.yml",
    ".github/workflows/test.yml": "workflows/test.yml",
    ".github/workflows/train.yml": "workflows/train.yml",
    ".gitignore": "gitignore",
    "Dockerfile": "Dockerfile",
    "Makefile": "Makefile",
    README: "README.md",
    "notebooks/rows.ipynb": "notebook.ipynb",
    "src/own/__init__.py": "own.py",
    "tests/test_models.py": "tests/test_models.py",
    "tests/test_own.py": "tests/test_own.py",
}
# What is otherwise where the framework is installed: a text of the original, and what it becomes.
CHANGED = {
    "dvc.yaml": {
        "desc: this package →": "desc: the installed Treeline →",
        "      - src/treeline\n": f"      - {FRAMEWORK}\n",
    },
}
# These are written once: what becomes of them is their owner's alone.
THEIRS = frozenset({PARAMS, README, "notebooks/rows.ipynb", "src/own/__init__.py"})

# Lock files for what only some need, by what they bring.
LOCKS = MappingProxyType(
    {
        "azure": "a DVC remote on Azure",
        "engines": "H2O, Spark, and all else",
        "full": "a service with Arrow, pictures, PostgreSQL and signatures",
        "gs": "a DVC remote on Google Cloud",
        "h2o": "an image that serves models of H2O",
        "lab": "SQL sources, Optuna, MLflow, JupyterLab",
        "pickle": "an image that serves pickles",
        "signing": "signed releases",
        "tracking": "MLflow",
    }
)

EMPTY = "empty"
MODELS = {"tree-survival": "tree-survival", "fraud": "card-fraud", "penguins": "penguins"}
FIGURES = {"tree-survival": "tree_experiment", "fraud": "card_fraud", "penguins": "penguins"}
EXAMPLES = (*MODELS, EMPTY)

HEADER = """\
# Every model, declared. To add one: make add FILE=path/to/table.csv TARGET=column, or write a block
# under `models`; then `make repro`. `make params` checks this file; `treeline params --schema` has
# all keys there are.
"""
NO_MODEL = f"{HEADER}default: # the model that answers POST /v1/predict\n\nmodels: {{}}\n"


@dataclass(frozen=True)
class Answers:
    """What a repository is made from: its name, its example, and the lock files it has besides."""

    name: str
    example: str
    locks: tuple[str, ...] = ()


def contents(answers: Answers) -> dict[str, bytes]:
    """Return the files by their path, without those that tell where the framework is from.

    Raises ScaffoldError where this Treeline was built without what they are made from.
    """
    files = {path: current(path) for path in (*SAME, *OF_A_TEMPLATE)}
    for lock in answers.locks:
        path = f"requirements/{lock}.txt"
        files[path] = original(path)
    if answers.example in FIGURES:
        path = f"dataset/sources/simulate/{FIGURES[answers.example]}.json"
        files[path] = original(path)
    files[PARAMS] = declaration(answers.example)
    return {path: filled(text, answers).encode() for path, text in sorted(files.items())}


def current(path: str) -> str:
    """Return a file as this version writes it, before words are filled in."""
    if path in OF_A_TEMPLATE:
        return template(OF_A_TEMPLATE[path])
    return _changed(path, original(path))


def filled(text: str, answers: Answers) -> str:
    """Return a text with the words that stand for answers filled in."""
    return text.replace("%%NAME%%", answers.name)


def declaration(example: str) -> str:
    """Return the `params.yaml` of an example."""
    if example == EMPTY:
        return NO_MODEL
    model = MODELS[example]
    if example == "penguins":
        block = template("examples/penguins.yaml")
    else:
        whole = original("examples/fraud/params.yaml" if example == "fraud" else PARAMS)
        block = _block(whole, model)
    return f"{HEADER}default: {model} # answers POST /v1/predict\n\nmodels:\n{block}"


def original(path: str) -> str:
    """Return a file of the framework's repository; raises ScaffoldError."""
    for place in (CARRIED / f"{path}{SUFFIX}", CHECKOUT / path):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise ScaffoldError(
        f"{path}: not in this Treeline, which was built for an image; install its wheel"
    )


def template(name: str) -> str:
    """Return a template of this package."""
    return (TEMPLATES / f"{name}{SUFFIX}").read_text(encoding="utf-8")


def _changed(path: str, text: str) -> str:
    for old, new in CHANGED.get(path, {}).items():
        if text.count(old) != 1:
            raise ScaffoldError(
                f"{path}: {old!r} stands there {text.count(old)} times, and not once"
            )
        text = text.replace(old, new)
    return text


def _block(text: str, model: str) -> str:
    """Return the lines of a model's block in a declaration, to the next one."""
    lines = text.splitlines(keepends=True)
    start = lines.index(f"  {model}:\n")
    ends = (at for at, line in enumerate(lines[start + 1 :], start + 1) if line[:3].strip())
    return "".join(lines[start : next(ends, len(lines))]).rstrip() + "\n"
