"""A file gets its trial in a process of its own: refused with every reason, or fit to be served."""

import asyncio
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json

from api.errors import TooBusyError, UploadRejectedError
from api.models.catalogue import Upload
from api.sandbox.process import TOP, ending, minimal
from api.settings import Settings
from treeline.errors import Problem


class Fault(BaseModel):
    """One reason to refuse the model."""

    place: str
    message: str
    value: str | int | None = None


class Outcome(BaseModel):
    """What came of the trial; no faults: the model can be served."""

    faults: list[Fault]
    signature: str | None = Field(
        default=None, description="What the model carries, where nothing is wrong with it"
    )


MOST_SAID_BYTES = 4 << 20  # at most a signature
MOST_WAITING = 8  # trials; each takes as much memory as the setting allows


@dataclass
class Trials:
    """Tries models, one at a time in each worker."""

    settings: Settings

    def __post_init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def run(
        self, name: str, file: Path, upload: Upload, signature: Path | None = None
    ) -> str | None:
        """Audit and try the model in a file, and return the signature that it carries.

        `signature` is the file of one that lies beside it. Raises UploadRejectedError and
        TooBusyError.
        """
        if self._waiting >= MOST_WAITING:
            seconds = self.settings.audit_seconds
            raise TooBusyError("Other uploads are being tried; come back later.", seconds=seconds)
        self._waiting += 1
        try:
            async with self._turn:
                outcome = await self._tried(name, file, upload, signature)
        finally:
            self._waiting -= 1
        if outcome.faults:
            faults = outcome.faults
            raise UploadRejectedError(
                [Problem(each.place, each.message, each.value) for each in faults]
            )
        return outcome.signature

    async def _tried(
        self, name: str, file: Path, upload: Upload, signature: Path | None
    ) -> Outcome:
        question = {
            "name": name,
            "file": str(file.resolve()),
            "upload": upload.model_dump(mode="json"),
            "signature": str(signature.resolve()) if signature is not None else None,
            "memory_bytes": self.settings.audit_memory_bytes,
            "seconds": ceil(self.settings.audit_seconds) + 1,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api.models.trial", to_json(question)),
            cwd=TOP,
            env=minimal(),
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(self.settings.audit_seconds):
                written = await said(process)
        except TimeoutError:
            return failed(self._too_slow())
        finally:  # the caller may have gone too
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return self._read(written, process.returncode or 0)

    def _read(self, written: bytes, code: int) -> Outcome:
        """Return what a trial that has ended found wrong."""
        if code == -signal.SIGXCPU:
            return failed(self._too_slow())
        try:
            return Outcome.model_validate_json(written.splitlines()[-1])
        except (IndexError, ValidationError):
            return failed(f"broke the process that tried it, {ending(code)}")

    def _too_slow(self) -> str:
        most = self.settings.audit_seconds
        text = f"its trial took more than {most:g} seconds; make it smaller, or raise"
        return f"{text} API_AUDIT_SECONDS"


def failed(message: str) -> Outcome:
    """Return the outcome of a trial that did not end by itself."""
    return Outcome(faults=[Fault(place="model", message=message)])


async def said(process: asyncio.subprocess.Process) -> bytes:
    """Return what a trial writes until it ends; nothing of one that writes too much."""
    if process.stdout is None:
        raise TypeError("a trial writes to a pipe")
    written = bytearray()
    while piece := await process.stdout.read(1 << 16):
        written += piece
        if len(written) > MOST_SAID_BYTES:
            process.kill()
            return b""
    await process.wait()
    return bytes(written)
