"""The proxy that owns the port, led to one of two slots by one file and a reload.

HAProxy holds the port as long as the machine runs. Which slot it leads to stands in a file that is
replaced whole, and a reload makes it count: new connections go to the new slot, requests under way
end in the old one, the port is never closed. So what is on the disk is what is served, also after
a power cut; commands to a running proxy would be forgotten by its next start.
"""

import re
import subprocess
import time
from http.client import HTTPException
from urllib.request import urlopen

from treeline.agent.settings import AgentSettings
from treeline.agent.state import SLOTS, Placement, SlotName
from treeline.errors import AgentError
from treeline.files import write_text

PAUSE_SECONDS = 0.1
MARK = re.compile(rf"^# leads to ({'|'.join(SLOTS)}) (sha256:[0-9a-f]{{64}})$", re.MULTILINE)
FILE = """\
# Written by `treeline agent`, which replaces it whole.
# leads to {slot} {digest}
frontend mark
    bind 127.0.0.1:{mark_port}
    http-request return status 200 content-type text/plain string "{slot} {digest}"

backend live
    server {slot} 127.0.0.1:{port}
"""


class HaproxyFront:
    """HAProxy with deploy/haproxy/haproxy.cfg and, beside it, the file that changes."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings.front
        self._port_of = settings.port_of

    @property
    def url(self) -> str:
        """Where callers of this machine ask."""
        return self._settings.url

    def slot(self) -> SlotName | None:
        """Return the slot that the file leads to, None where there is no file yet."""
        match = MARK.search(self._text())
        return next((slot for slot in SLOTS if match and match[1] == slot), None)

    def leads_to(self, placement: Placement) -> bool:
        """Tell whether the proxy that runs leads to a placement."""
        try:
            address = f"http://127.0.0.1:{self._settings.mark_port}/"
            with urlopen(address, timeout=5) as answer:
                return bool(answer.read(200).decode() == _mark(placement))
        except (OSError, HTTPException, UnicodeDecodeError):
            return False

    def lead_to(self, placement: Placement) -> None:
        """Have the proxy lead to a placement; return when it does, or raise AgentError."""
        text = FILE.format(
            slot=placement.slot,
            digest=placement.release.digest,
            mark_port=self._settings.mark_port,
            port=self._port_of(placement.slot),
        )
        if self._text() != text:
            try:
                write_text(self._settings.file, text)
            except OSError as error:
                raise AgentError(
                    f"front.file: {self._settings.file}: cannot be written: {error}"
                ) from error
        self._reload()
        deadline = time.monotonic() + self._settings.reload_seconds
        while not self.leads_to(placement):
            if time.monotonic() > deadline:
                raise AgentError(
                    f"front: after {self._settings.reload_seconds:g} seconds the proxy does not "
                    f"lead to {placement.slot}: see its log (journalctl -u treeline-front), and "
                    f"whether anything else listens at 127.0.0.1:{self._settings.mark_port}"
                )
            time.sleep(PAUSE_SECONDS)

    def _text(self) -> str:
        """Return what is in the file; nothing where there is none yet."""
        try:
            return self._settings.file.read_text("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise AgentError(f"front.file: {self._settings.file}: {error}") from error

    def _reload(self) -> None:
        command = self._settings.reload
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AgentError(f"front.reload: `{' '.join(command)}`: {error}") from error
        if done.returncode:
            raise AgentError(f"front.reload: `{' '.join(command)}`: {done.stderr.strip()}")


def _mark(placement: Placement) -> str:
    return f"{placement.slot} {placement.release.digest}"
