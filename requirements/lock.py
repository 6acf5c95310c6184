"""pyproject.toml → requirements/*.txt: every distribution pinned and hashed, for every platform.

python requirements/lock.py UV [OPTION…]   resolve anew with that uv (what `make lock` does)
python requirements/lock.py                say whether the lock files fit pyproject.toml; no network

Each file starts with a digest of the dependency tables it was resolved from: that is what the
second form compares. The largest set is resolved first and constrains the others, so that all
files agree on every version.
"""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
DECLARATION = FOLDER.parent / "pyproject.toml"
LARGEST = "engines"
OPTIONS = ["arrow", "images", "postgres", "registry", "s3", "signing", "tracing"]
LIGHT = ["mlflow", "optuna", "sql", "notebook", "client", "import"]  # what needs no Java
LARGE = ["h2o", "spark"]
REMOTES = ["azure", "gs"]
EXTRAS = {
    LARGEST: ["serve", *OPTIONS, "pickle", "train", *LIGHT, "lab", "dev", *LARGE, *REMOTES],
    "dev": ["serve", *OPTIONS, "pickle", "train", *LIGHT, "dev"],
    "lab": ["serve", "train", *LIGHT, "lab"],
    "train": ["serve", "train"],
    "test": ["test"],
    "tracking": ["mlflow"],
    "signing": ["signing"],
    **{remote: [remote] for remote in REMOTES},
    "h2o": ["serve", "h2o"],
    "pickle": ["serve", "pickle"],
    "full": ["serve", *OPTIONS],
    "serve": ["serve"],
}
# Besides our own backend: setuptools builds the few distributions that come as source only.
BUILD, BUILDERS = "build", ["setuptools>=77"]
LOCKS = {name: FOLDER / f"{name}.txt" for name in [*EXTRAS, BUILD]}


def header(declaration: str, name: str) -> str:
    """Return the first lines of a lock file resolved from this text of pyproject.toml.

    They change with what the file itself is resolved from, and with nothing else: models are
    trained again when their lock file changes, and a new linter is no reason for it.
    """
    tables = tomllib.loads(declaration)
    project = tables["project"]
    if name == BUILD:
        resolved = {"build": tables["build-system"]["requires"] + BUILDERS}
    else:
        extras = {extra: project["optional-dependencies"][extra] for extra in EXTRAS[name]}
        resolved = {"dependencies": project["dependencies"], "extras": extras}
    resolved["python"] = project["requires-python"]
    digest = hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()
    return f"# Written by `make lock`; do not edit.\n# dependencies: sha256:{digest}\n"


def outdated() -> list[str]:
    """Return the names of the lock files that do not fit pyproject.toml."""
    declaration = DECLARATION.read_text(encoding="utf-8")
    return [
        path.name
        for name, path in LOCKS.items()
        if not path.is_file()
        or not path.read_text(encoding="utf-8").startswith(header(declaration, name))
    ]


def resolve(uv: str, name: str, options: list[str]) -> None:
    """Write one lock file; pins that still fit are kept unless an option says otherwise."""
    if name == BUILD:
        requirements = tomllib.loads(DECLARATION.read_text(encoding="utf-8"))["build-system"][
            "requires"
        ]
        inputs, stdin = ["-"], "\n".join(requirements + BUILDERS)
    else:
        inputs, stdin = [DECLARATION.name], None
        inputs += [f"--extra={extra}" for extra in EXTRAS[name]]
    if name != LARGEST:
        inputs += ["--constraint", str(LOCKS[LARGEST].relative_to(FOLDER.parent))]
    command = [
        *(uv, "pip", "compile", *inputs, "--output-file", f"{FOLDER.name}/{name}.txt"),
        *("--universal", "--fork-strategy", "fewest", "--python-version", "3.11"),
        *("--generate-hashes", "--no-header", "--no-annotate", "--no-config", "--quiet"),
        *("--no-emit-index-url", "--no-emit-find-links", "--python", sys.executable, *options),
    ]
    subprocess.run(command, cwd=FOLDER.parent, check=True, input=stdin, text=True, encoding="utf-8")
    first = header(DECLARATION.read_text(encoding="utf-8"), name)
    pins = LOCKS[name].read_text(encoding="utf-8")
    LOCKS[name].write_text(first + pins, encoding="utf-8")


def main() -> None:
    if arguments := sys.argv[1:]:
        for name in LOCKS:
            print(f"Resolving requirements/{name}.txt", flush=True)
            resolve(arguments[0], name, arguments[1:])
    elif names := outdated():
        sys.exit(f"pyproject.toml has changed since {', '.join(names)}: run `make lock`")


if __name__ == "__main__":
    main()
