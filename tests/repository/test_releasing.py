"""A release of the framework is held against its tag, and the site is pushed as it was built."""

import subprocess
import sys
from pathlib import Path
from runpy import run_path
from zipfile import ZipFile

import pytest

from tests.repository.test_workshop import ROOT

PACKAGE = run_path(str(ROOT / ".ci" / "package.py"))
CHANGELOG = """\
# Changelog

## 0.3.0 - unreleased

- Not yet.

## 0.2.0 - 2026-12-01

### Added

- Much.

## 0.1.0 - 2026-11-21

- The first.
"""


@pytest.mark.parametrize(
    ("version", "date", "notes"),
    [
        ("0.3.0", "unreleased", "- Not yet.\n"),
        ("0.2.0", "2026-12-01", "### Added\n\n- Much.\n"),
        ("0.1.0", "2026-11-21", "- The first.\n"),
    ],
)
def test_the_notes_of_a_version_are_its_section(version: str, date: str, notes: str) -> None:
    assert PACKAGE["notes_of"](CHANGELOG, version) == (date, notes)


def test_a_version_without_a_section_is_refused_with_the_way_out() -> None:
    with pytest.raises(SystemExit, match=r"add `## 0\.4\.0 - <date>`"):
        PACKAGE["notes_of"](CHANGELOG, "0.4.0")


@pytest.mark.parametrize(
    ("tag", "date", "reason"),
    [
        ("v0.2.1", "2026-12-01", r"tag v0\.2\.0, or change __version__"),
        ("0.2.0", "2026-12-01", r"the tag 0\.2\.0 is not that of version 0\.2\.0"),
        ("v0.2.0", "unreleased", "write the day of the release"),
        ("v0.2.0", "1 December", "write the day of the release"),
    ],
)
def test_a_tag_that_does_not_fit_is_refused(tag: str, date: str, reason: str) -> None:
    with pytest.raises(SystemExit, match=reason):
        PACKAGE["check"](tag, "0.2.0", date)


def test_a_tag_that_fits_is_taken() -> None:
    assert PACKAGE["check"]("v0.2.0", "0.2.0", "2026-12-01") is None


def test_this_version_is_built_with_its_notes(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "--quiet", ROOT, copy], check=True)
    subprocess.run([sys.executable, copy / ".ci" / "package.py"], check=True)
    dist = copy / "build" / "dist"
    [wheel] = dist.glob("*.whl")
    assert len(list(dist.glob("*.tar.gz"))) == 1
    assert (dist / "NOTES.md").read_text().startswith("### Added")
    with ZipFile(wheel) as files:
        assert {"treeline/__init__.py", "api/app.py"} <= set(files.namelist())


def test_the_site_is_one_commit_without_history_in_place_of_the_former(tmp_path: Path) -> None:
    origin, clone = tmp_path / "origin.git", tmp_path / "clone"
    subprocess.run(["git", "init", "--quiet", "--bare", origin], check=True)
    subprocess.run(["git", "clone", "--quiet", origin, clone], check=True)
    (clone / ".gitignore").write_text("/build/\n")
    site = clone / "build" / "site"
    for page in ("first", "second"):
        site.mkdir(parents=True, exist_ok=True)
        (site / "index.html").write_text(page)
        (site / "_static").mkdir(exist_ok=True)
        (site / "_static" / f"{page}.css").write_text("")
        subprocess.run(
            [sys.executable, ROOT / ".ci" / "site.py"],
            cwd=clone,
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(ROOT / "src"),
                **{
                    f"GIT_{who}_{what}": "a@example.invalid"
                    for who in ("AUTHOR", "COMMITTER")
                    for what in ("NAME", "EMAIL")
                },
            },
            check=True,
        )
        (site / "_static" / f"{page}.css").unlink()

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", origin, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout

    assert git("show", "gh-pages:index.html") == "second"
    assert git("rev-list", "--count", "gh-pages").strip() == "1"
    assert git("ls-tree", "-r", "--name-only", "gh-pages").split() == [
        ".nojekyll", "_static/second.css", "index.html",
    ]  # fmt: skip
    assert not (clone / ".git" / "index").exists()  # of the checkout: nothing was staged
