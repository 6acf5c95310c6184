"""A file → its trial in a process of its own: refused with every reason, or fit to be served."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import to_json

from api.catalogue.declaration import Upload
from api.errors import TooBusyError, UploadRejectedError
from api.settings import Settings
from api.uploads.outcome import Outcome
from treeline.errors import Problem

TOP = Path(__file__).parents[2]
# All that the trial is told of the environment: no keys, no address of a database.
PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "TZ")
OWN = {
    "OPENBLAS_NUM_THREADS": "1",  # each thread reserves address space, and it is limited
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
MOST_WAITING = 8  # trials; each takes as much memory as the setting allows


@dataclass
class Trials:
    """Tries models, one at a time in each worker."""

    settings: Settings

    def __post_init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def run(self, name: str, file: Path, upload: Upload) -> None:
        """Audit and try the model in a file; raises UploadRejectedError and TooBusyError."""
        if self._waiting >= MOST_WAITING:
            seconds = self.settings.audit_seconds
            raise TooBusyError("Other uploads are being tried; come back later.", seconds=seconds)
        self._waiting += 1
        try:
            async with self._turn:
                problems = await self._tried(name, file, upload)
        finally:
            self._waiting -= 1
        if problems:
            raise UploadRejectedError(problems)

    async def _tried(self, name: str, file: Path, upload: Upload) -> list[Problem]:
        question = {
            "name": name,
            "file": str(file.resolve()),
            "upload": upload.model_dump(mode="json"),
            "memory_bytes": self.settings.audit_memory_bytes,
            "seconds": ceil(self.settings.audit_seconds) + 1,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api.uploads.trial", to_json(question)),
            cwd=TOP,
            env=OWN | {name: os.environ[name] for name in PASSED_ON if name in os.environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(self.settings.audit_seconds):
                written, _ = await process.communicate()
        except TimeoutError:
            return [self._too_slow()]
        finally:  # the caller may have gone too
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return self._read(written, process.returncode or 0)

    def _read(self, written: bytes, code: int) -> list[Problem]:
        """Return what a trial that has ended found wrong."""
        if code == -signal.SIGXCPU:
            return [self._too_slow()]
        try:
            faults = Outcome.model_validate_json(written.splitlines()[-1]).faults
        except (IndexError, ValidationError):
            return [Problem("model", f"broke the process that tried it, {ending(code)}")]
        return [Problem(fault.place, fault.message, fault.value) for fault in faults]

    def _too_slow(self) -> Problem:
        most = self.settings.audit_seconds
        text = f"its trial took more than {most:g} seconds; make it smaller, or raise"
        return Problem("model", f"{text} API_AUDIT_SECONDS")


def ending(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"which ended with code {code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        return f"which was ended by {name}: it may have run out of memory"
    return f"which was ended by signal {-code}"
