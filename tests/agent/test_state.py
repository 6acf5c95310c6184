"""The lock of a run: one at a time, and free as soon as the run has ended, however it ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from treeline.agent.state import StateFile

# As a run is while it starts a command: its copy of itself has all files open until it is another.
STARTS_A_COMMAND = """
import os, sys, time
from pathlib import Path
from treeline.agent.state import StateFile
with StateFile(Path(sys.argv[1])).locked() as alone:
    child = os.fork()
    if child:
        print(alone, child, flush=True)
    time.sleep(60)
"""


def test_a_run_that_is_killed_while_it_starts_a_command_leaves_no_lock(tmp_path: Path) -> None:
    state = StateFile(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_A_COMMAND, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        alone, child = run.stdout.readline().split()
        try:
            assert alone == "True"
            with state.locked() as second:
                assert not second, "a run is under way"
            run.kill()
            run.wait(60)
            with state.locked() as next_one:
                assert next_one
        finally:
            os.kill(int(child), signal.SIGKILL)
