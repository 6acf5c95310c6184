"""Requirements of a script → an interpreter that has them, of the image or of a folder of wheels.

Nothing is fetched and nothing is built: what the image lacks comes out of that folder or not at
all. It is installed beside the packages of the image, which stay as they are, into an environment
of the job's own.
"""

import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from treeline.jobs.exits import REQUIREMENTS, TIME, Ended

MOST_LINES = 30  # of what an installer says, in the log


def python_with(file: Path, wheels: Path, environment: Path, *, until: float) -> str:
    """Return an interpreter that meets all lines of a file.

    Raises Ended with each line that neither the image nor a wheel meets.
    """
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    lacking = dict(unmet(lines))
    if not lacking:
        return sys.executable
    wanted = [each for each in lacking.values() if each is not None]
    if not wheels.is_dir() or len(wanted) < len(lacking):
        raise Ended(REQUIREMENTS, f"the image does not have what is required: {listed(lacking)}")
    there = list(available(wheels))
    where = "neither the image nor the wheelhouse has what is required"
    if rest := [why for why, each in lacking.items() if each and not meets(there, each)]:
        raise Ended(REQUIREMENTS, f"{where}: {listed(rest)}")
    python = beside_the_image(environment, until=until)
    if said := install(python, wanted, wheels, until=until):
        print(said, flush=True)
        raise Ended(REQUIREMENTS, f"{where}, together: {listed(lacking)}; the log says what")
    return python


def unmet(lines: list[str]) -> Iterator[tuple[str, Requirement | None]]:
    """Yield, of lines as `numpy>=2`, those that the packages here do not meet: why, and what of.

    A line that is no name with a version, such as an option or an address, can never be met.
    """
    for line in lines:
        wanted = line.partition("#")[0].strip()
        if not wanted:
            continue
        try:
            requirement = Requirement(wanted)
        except InvalidRequirement:
            yield f"{wanted[:80]!r} is not a name with a version, such as numpy>=2", None
            continue
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        if requirement.url:
            yield f"{wanted} (an address)", None
            continue
        try:
            there = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{wanted} (not installed)", requirement
            continue
        if not requirement.specifier.contains(there, prereleases=True):
            yield f"{wanted} (here is {there})", requirement


def available(wheels: Path) -> Iterator[tuple[str, Version]]:
    """Yield names and versions of the wheels in a folder that this interpreter takes."""
    tags = frozenset(sys_tags())
    for path in sorted(wheels.glob("*.whl")):
        with suppress(InvalidWheelFilename):
            name, version, _, own = parse_wheel_filename(path.name)
            if own & tags:
                yield name, version


def meets(there: list[tuple[str, Version]], requirement: Requirement) -> bool:
    """Tell whether one of these wheels meets a requirement by itself."""
    wanted = canonicalize_name(requirement.name)
    return any(name == wanted and requirement.specifier.contains(each) for name, each in there)


def listed(lacking: Iterable[str]) -> str:
    """Return the lines that are not met as one text."""
    return "; ".join(lacking)


def beside_the_image(environment: Path, *, until: float) -> str:
    """Make an environment that has all packages of this one, and return its interpreter."""
    ran([sys.executable, "-m", "venv", "--without-pip", str(environment)], until=until)
    [packages] = environment.glob("lib/python*/site-packages")
    here = [path for path in sys.path if path.endswith("site-packages")]
    packages.joinpath("image.pth").write_text("\n".join(here) + "\n", encoding="utf-8")
    return str(environment / "bin" / "python")


def install(python: str, wanted: list[Requirement], wheels: Path, *, until: float) -> str:
    """Install wheels of a folder; return what the installer complains about, or nothing.

    The installer is that of the image's first Python, as the image's own environment has none.
    """
    folder = sysconfig.get_path("purelib", "posix_prefix", vars={"base": sys.base_prefix})
    command = [python, f"{folder}/pip", "--isolated", "install", "--quiet", "--no-compile"]
    command += ["--no-index", "--find-links", str(wheels), "--only-binary", ":all:"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--no-warn-script-location"]
    done = ran([*command, "--", *map(str, wanted)], until=until)
    if done.returncode == 0:
        return ""
    return "\n".join(done.stderr.strip().splitlines()[-MOST_LINES:]) or "the installer failed"


def ran(command: list[str], *, until: float) -> subprocess.CompletedProcess[str]:
    """Run a command; raises Ended where it does not end in time."""
    seconds = max(0.0, until - time.monotonic())
    try:
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        text = "what is required was not installed within the time of the job"
        raise Ended(TIME, text) from None
