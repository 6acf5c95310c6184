"""The pipeline run as continuous training runs it → what failed, and why, stage by stage."""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from treeline.errors import DeliveryError

RUNNING = re.compile(r"^Running stage '(?P<stage>[^']+)':$")
ENDED = "WARNING: failed to run: "  # what follows are words of DVC, and of other stages
FAILED = re.compile(
    r"^ERROR: failed to reproduce (stages: )?(?P<stages>'[^']+'((, | and )'[^']+')*)"
)
REFUSED = "refused: "  # how the gate stage begins to say no


@dataclass(frozen=True)
class Failure:
    """A stage that ended badly; `stage` is that of dvc.yaml, empty when none could start."""

    stage: str
    model: str
    reason: str

    @property
    def refused(self) -> bool:
        """Whether it was the gate that decided, rather than something that broke."""
        return self.stage == "gate" and self.reason.startswith(REFUSED)

    def plain(self) -> dict[str, str]:
        """Return it as plain data."""
        return asdict(self)


def recollect(models: list[str]) -> list[Failure]:
    """Ask the sources of the models again, whatever DVC remembers of them.

    Besides, only the stage digest is brought up to date, which collecting depends on.
    """
    stages = [f"collect@{model}" for model in models]
    return _repro("digest") or _repro("--force", "--single-item", "--keep-going", *stages)


def reproduce(models: list[str], *, force: bool) -> list[Failure]:
    """Run what is out of date for the models, or everything, and show what DVC says while it does.

    A refused or broken model does not keep the others from being trained. Raises DeliveryError
    when DVC is not installed.
    """
    exports = [f"export@{model}" for model in models]
    return _repro("--keep-going", *(["--force"] if force else []), *exports)


def failures_of(lines: Iterable[str]) -> list[Failure]:
    """Find in the output of `dvc repro` which stages failed, and what each said last."""
    told: dict[str, list[str]] = {}
    found, stage = [], ""
    for line in lines:
        if running := RUNNING.match(line):
            stage = running["stage"]
        elif failed := FAILED.match(line):
            names = re.findall(r"'([^']+)'", failed["stages"])
            found += [_failure(name, told.get(name, [])) for name in names]
        elif line.startswith(ENDED):
            stage = ""
        elif line.startswith("ERROR: ") and not found:
            found.append(Failure("", "", line.removeprefix("ERROR: ")))
        elif not line.startswith(("WARNING: ", "> ", "ERROR: ")):
            told.setdefault(stage, []).append(line)
    return found


def _failure(stage: str, told: list[str]) -> Failure:
    """Give the last thing a stage said of itself, to the end of its lines, as the reason."""
    name, _, model = stage.partition("@")
    said = f"{name} {model}: "
    last = max((at for at, line in enumerate(told) if line.startswith(said)), default=0)
    reason = "\n".join(told[last:]).removeprefix(said).strip()
    return Failure(name, model, reason or "it ended without a word")


def _repro(*arguments: str) -> list[Failure]:
    try:
        process = subprocess.Popen(
            ["dvc", "repro", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError as missing:
        raise DeliveryError("`dvc` is needed and not installed: make setup") from missing
    with process:
        assert process.stdout is not None
        lines = list(_shown(process.stdout))
    if process.returncode == 0:
        return []
    return failures_of(lines) or [Failure("", "", "dvc repro failed; its output says why")]


def _shown(output: Iterable[str]) -> Iterator[str]:
    for line in output:
        sys.stdout.write(line)
        sys.stdout.flush()
        yield line.rstrip("\n")
