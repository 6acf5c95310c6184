"""Requirements of a script, met by what is here, by wheels in a folder, or by nothing."""

import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from tests.jobs.wheels import write_wheel
from treeline.jobs.exits import REQUIREMENTS, TIME, Ended
from treeline.jobs.requirements import python_with

SOON = 300.0
INSTALLER = Path(
    sysconfig.get_path("purelib", "posix_prefix", vars={"base": sys.base_prefix}), "pip"
)


def met(folder: Path, *lines: str, wheels: Path | None = None, seconds: float = SOON) -> str:
    file = folder / "requirements.txt"
    file.write_text("\n".join(lines))
    until = time.monotonic() + seconds
    return python_with(file, wheels or folder / "none", folder / "installed", until=until)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    write_wheel(folder, "probe", "1.0", "numpy>=2", "probe-base")
    write_wheel(folder, "probe-base", "2.0")
    write_wheel(folder, "broken", "1.0", "absent-here")
    (folder / "no wheel.whl").write_text("x")
    return folder


def test_what_is_here_needs_no_installation(tmp_path: Path) -> None:
    lines = ("numpy>=2", "", "# a comment", "absent; python_version < '3'", "Click # as here")
    assert met(tmp_path, *lines) == sys.executable
    assert not (tmp_path / "installed").exists()


@pytest.mark.skipif(not INSTALLER.is_dir(), reason="the first Python of this machine has no pip")
def test_what_is_not_here_is_installed_beside_it_with_what_it_requires(
    tmp_path: Path, wheels: Path
) -> None:
    python = met(tmp_path, "probe>=1", "numpy>=2", wheels=wheels)
    program = "import probe, probe_base, numpy; print(probe.__version__, numpy.__file__)"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    version, numpy = done.stdout.split(maxsplit=1)
    assert version == "1.0"
    assert not numpy.startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("probe>=2", "probe>=2 (not installed)"),
        ("absent", "absent (not installed)"),
        ("numpy<1", "numpy<1 (here is "),
        ("--index-url https://x", "'--index-url https://x' is not a name with a version"),
        ("-r other.txt", "'-r other.txt' is not a name with a version"),
        ("probe @ file:///tmp/x.whl", "(an address)"),
    ],
)
def test_what_nothing_meets_is_named_and_nothing_is_installed(
    tmp_path: Path, wheels: Path, line: str, told: str
) -> None:
    with pytest.raises(Ended) as ended:
        met(tmp_path, "probe-base", line, wheels=wheels)
    assert ended.value.code == REQUIREMENTS
    assert told in str(ended.value)
    assert not (tmp_path / "installed").exists()


def test_without_a_folder_of_wheels_each_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(Ended, match=r"the image does not have .*: probe \(not.*; absent \(not"):
        met(tmp_path, "probe", "numpy", "absent")


@pytest.mark.skipif(not INSTALLER.is_dir(), reason="the first Python of this machine has no pip")
def test_a_wheel_that_requires_what_is_nowhere_is_told_with_the_installers_words(
    tmp_path: Path, wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Ended, match=r"together: broken \(not installed\); the log says what"):
        met(tmp_path, "broken", wheels=wheels)
    assert "absent-here" in capsys.readouterr().out


def test_an_installation_counts_as_time_of_the_job(tmp_path: Path, wheels: Path) -> None:
    with pytest.raises(Ended, match="within the time of the job") as ended:
        met(tmp_path, "probe", wheels=wheels, seconds=0.0)
    assert ended.value.code == TIME
