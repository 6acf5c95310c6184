"""docs/first-model.md runs as it stands: what it has typed makes a page that answers."""

import math
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2

from tests import calling
from tests.checkout import ROOT
from tests.scaffold.conftest import QUIET, TOOLS, Installed, git, lend_environment
from tests.serving import free_port
from tests.waiting import wait_until

PAGE = (ROOT / "docs/first-model.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SECONDS = 300


def table() -> str:
    """Return rows as the page shows them: those who are there long stay."""
    (head,) = re.findall(r"^id;.*$", PAGE, re.MULTILINE)
    chance, rows = random.Random(1), []
    for n in range(240):
        years, pay = chance.randint(0, 20), f"{chance.gauss(30, 6):.1f}".replace(".", ",")
        left = "yes" if chance.random() < 1 / (1 + math.exp((years - 8) / 2)) else "no"
        rows.append(f"{n};{pay};{'abc'[n % 3]};{years};{left}")
    return "\n".join([head, *rows, ""])


def test_what_the_page_has_typed_makes_a_page_that_answers(
    installed: Installed, tmp_path: Path
) -> None:
    install, make, run, ask, test = BLOCKS
    assert installed.wheel.name in install, "the page names the wheel of another version"
    (tmp_path / "staff.csv").write_text(table(), encoding="utf-8")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "treeline").write_text(
        f'#!/bin/sh\nexec {sys.executable} -P -m treeline "$@"\n', encoding="utf-8"
    )
    (tools / "treeline").chmod(0o755)
    port = free_port()
    environment = {
        **{"PORT": str(port), "PATH": f"{tools}:{TOOLS}:{os.environ['PATH']}"},
        **{f"GIT_{who}_NAME": "A test" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "test@example.invalid" for who in ("AUTHOR", "COMMITTER")},
    }
    installed.run("bash", "-ec", make, cwd=tmp_path, environment=environment)
    folder = tmp_path / "staff"
    lend_environment(folder)

    log = tmp_path / "log"
    variables = {**os.environ, **QUIET, **environment, "PYTHONPATH": str(installed.packages)}
    with log.open("wb") as file, subprocess.Popen(
        ["bash", "-ec", run], cwd=folder, env=variables,
        stdout=file, stderr=file, start_new_session=True,
    ) as service:  # fmt: skip
        try:
            wait_until(lambda: _answers(port, service, log), seconds=SECONDS, what="it answers")
            page = calling.get(f"http://127.0.0.1:{port}/", headers={"Accept": "text/html"})
            assert "<form" in page.text
            done = installed.run("bash", "-ec", ask.replace("8000", str(port)), cwd=folder)
            assert '"model":"staff"' in done.stdout and '"probability":' in done.stdout
        finally:
            os.killpg(service.pid, signal.SIGTERM)
    tested = installed.run("bash", "-ec", test, cwd=folder, environment=environment).stdout
    assert re.search(r"^8 passed in ", tested, re.MULTILINE), tested
    assert git(folder, "status", "--porcelain") == ""


def _answers(port: int, service: "subprocess.Popen[bytes]", log: Path) -> bool:
    """Tell whether the service answers; fail when it has ended."""
    assert service.poll() is None, log.read_text(encoding="utf-8")
    try:
        return calling.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx2.TransportError:
        return False
