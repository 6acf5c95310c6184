"""What tests run in copies of the repository, or installed, is counted as what lies in it."""

from pathlib import Path

import pytest
from coverage import Coverage, CoverageData

from tests.serving import ROOT

HERE = {"src/treeline/files.py", "api/app.py"}
COPIES = {
    "a clone": ("clone/src/treeline/files.py", "clone/api/app.py"),
    "a folder of packages": ("packages/treeline/files.py", "packages/api/app.py"),
    "an environment": (
        ".venv/lib/python3.11/site-packages/treeline/files.py",
        ".venv/lib/python3.11/site-packages/api/app.py",
    ),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_counted_as_what_it_was_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy: str
) -> None:
    monkeypatch.chdir(ROOT)
    written = CoverageData(str(tmp_path / ".coverage.of_a_process"))
    written.add_lines({str(tmp_path / path): [1] for path in COPIES[copy]})
    written.write()
    whole = Coverage(str(tmp_path / ".coverage"), config_file=str(ROOT / "pyproject.toml"))
    whole.combine([str(tmp_path)])
    counted = {str(Path(path).relative_to(ROOT)) for path in whole.get_data().measured_files()}
    assert counted == HERE
