"""The checkout → build/dist: a wheel, a source distribution, and the notes of this version.

python .ci/package.py [TAG]    TAG, such as v0.2.0, must be that of this version

Raises SystemExit, with one line, where version, tag and CHANGELOG.md do not say the same.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "build" / "dist"
NOTES = "NOTES.md"
UNRELEASED = "unreleased"

heading = re.compile(r"^## (?P<version>\S+) - (?P<date>\S+)$", re.MULTILINE)


def version_of(source: str) -> str:
    """Return the version that `treeline/__init__.py` has."""
    found = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    if found is None:
        raise SystemExit('src/treeline/__init__.py has no line __version__ = "…"')
    return found[1]


def notes_of(changelog: str, version: str) -> tuple[str, str]:
    """Return the date of a version and what CHANGELOG.md says of it; raises SystemExit."""
    headings = list(heading.finditer(changelog))
    for place, found in enumerate(headings):
        if found["version"] == version:
            end = headings[place + 1].start() if place + 1 < len(headings) else len(changelog)
            return found["date"], changelog[found.end() : end].strip() + "\n"
    raise SystemExit(f"CHANGELOG.md has no section for {version}: add `## {version} - <date>`")


def check(tag: str, version: str, date: str) -> None:
    """Raise SystemExit unless a tag may be released as this version."""
    if tag != f"v{version}":
        raise SystemExit(
            f"the tag {tag} is not that of version {version}: tag v{version}, or change "
            "__version__ in src/treeline/__init__.py"
        )
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        raise SystemExit(
            f"CHANGELOG.md dates {version} {date!r}: write the day of the release, as 2026-01-31"
        )


def main(arguments: list[str]) -> None:
    """Build the distributions, after the tag, if there is one, was held against the version."""
    version = version_of((ROOT / "src/treeline/__init__.py").read_text(encoding="utf-8"))
    date, notes = notes_of((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    if tag := "".join(arguments):
        check(tag, version, date)
    shutil.rmtree(DIST, ignore_errors=True)
    # The backend is that of the lock file, and nothing is fetched.
    for kind in ("sdist", "wheel"):
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", DIST],
            cwd=ROOT,
            check=True,
        )
    (DIST / NOTES).write_text(notes, encoding="utf-8")
    name = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    print(f"{name} {version} is in {DIST.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
