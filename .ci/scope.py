"""The commit here → which tests it needs, and whether BEFORE differs from it in documents alone.

Two digests say what tests depend on: the tree of code, tests and locks; and, with it, the
declaration, the data and the models. A run whose tests pass leaves an artifact that is named for
the digest, and GitHub is asked for it. Where nobody can be asked, everything is tested. Needs git
and `gh` alone.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path("build/scope")
DOCUMENTS = ("docs/", "notebooks/", "LICENSE", ".github/ISSUE_TEMPLATE/", ".github/pull_request")
DECLARED = ("params.yaml", "dvc.lock", "dataset/", "model/", "examples/", "src/own/")
SUFFIXES = (".md", ".ipynb")


def kind(path: str) -> str:
    """Return what a file is, for the tests: `documents`, `models` or `code`."""
    if path.startswith(DECLARED):
        return "models"
    if path.startswith(DOCUMENTS) or path.endswith(SUFFIXES):
        return "documents"
    return "code"


def digests(tree: Iterable[str]) -> dict[str, str]:
    """Return the digests of the code, and of code and models, from lines of `git ls-tree -r`."""
    lines: dict[str, list[str]] = {"code": [], "models": [], "documents": []}
    for line in tree:
        lines[kind(line.partition("\t")[2])].append(line)
    code = hashlib.sha256("\n".join(sorted(lines["code"])).encode()).hexdigest()
    both = hashlib.sha256("\n".join([code, *sorted(lines["models"])]).encode()).hexdigest()
    return {"code": code[:40], "models": both[:40]}


def artifact(of: str, digest: str) -> str:
    """Return the name of the artifact of tests that have passed."""
    return f"tested-{of}-{digest}"


def is_ours(row: dict[str, object]) -> bool:
    """Tell whether an artifact is of a run of this repository, and not of a fork's pull request."""
    run = row.get("workflow_run")
    return isinstance(run, dict) and (
        not row.get("expired") and run.get("head_repository_id") == run.get("repository_id")
    )


def was_tested(name: str) -> bool:
    """Ask GitHub whether a run has left this artifact; no where it cannot be asked."""
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    command = ["gh", "api", f"repos/{repository}/actions/artifacts?name={name}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    if done.returncode:
        print(f"GitHub does not say what was tested: {done.stderr.strip()}", file=sys.stderr)
        return False
    return any(map(is_ours, json.loads(done.stdout)["artifacts"]))


def changes_documents_only(before: str) -> bool:
    """Tell whether nothing but documents differs from an earlier commit; no where it is unknown."""
    command = ["git", "diff", "--name-only", before, "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    paths = done.stdout.splitlines()
    return done.returncode == 0 and bool(paths) and {kind(path) for path in paths} == {"documents"}


def main() -> None:
    """Hand on which tests are needed, and the names that their success is kept under."""
    tree = subprocess.run(
        ["git", "ls-tree", "-r", "HEAD"], capture_output=True, text=True, check=True
    )
    names = {of: artifact(of, digest) for of, digest in digests(tree.stdout.splitlines()).items()}
    needed = {of: not was_tested(name) for of, name in names.items()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "tested.json").write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")
    words = {True: "are run", False: "passed before on the same files: left out"}
    print(f"::notice::The tests of the code {words[needed['code']]}.")
    print(f"::notice::The tests of the models {words[needed['models']]}.")
    before = os.environ.get("BEFORE", "")
    outputs = {
        "documents": str(bool(before) and changes_documents_only(before)).lower(),
        "code": str(needed["code"]).lower(),
        "models": str(needed["models"]).lower(),
        "code-artifact": names["code"],
        "models-artifact": names["models"],
    }
    lines = "".join(f"{name}={value}\n" for name, value in outputs.items())
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(lines)
    print(lines, end="")


if __name__ == "__main__":
    main()
