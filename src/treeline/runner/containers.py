"""A task → a container of Docker or Podman, which take the same words.

It has no network, no privilege, no more memory, processors and processes than the limits say, a
root that cannot be written, a folder in memory, and one file on the disk: its model. A file cannot
grow beyond the limit of the kernel (RLIMIT_FSIZE), which whoever is not root cannot raise.
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any, Self

from treeline.agent.processes import attempt, run
from treeline.runner.engines import INPUTS, LABEL, RESULT, WHEELS, Status, Task
from treeline.runner.settings import RunnerSettings

USER = "10001:10001"  # whoever the image's own user is
CPU_PERIOD = 100_000
PIECE_BYTES = 1 << 16
RESTRICTIONS = (
    "--read-only",
    *("--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
    *("--user", USER),
    *("--restart", "no"),
    *("--pull", "never"),
    *("--ulimit", "core=0:0"),
    # Said, as Podman else sets more than a runner that is itself enclosed may give.
    *("--ulimit", "nofile=8192:8192"),
    *("--ulimit", "nproc=8192:8192"),  # of the user; of a job it is --pids-limit
    "--no-healthcheck",
)
OF_THE_ENGINE = {"docker": (), "podman": ("--read-only-tmpfs=false",)}  # more folders in memory
LOG_DRIVERS = {"docker": "local", "podman": "k8s-file"}


class ContainerEngine:
    """An engine on this machine, reached by its command."""

    def __init__(self, settings: RunnerSettings) -> None:
        self._settings = settings
        self._command = settings.engine
        self.start_seconds = 0.0  # an image is here, or nothing begins

    @classmethod
    def from_settings(cls, settings: RunnerSettings) -> Self:
        """Return the engine that `engine` names."""
        return cls(settings)

    def answers(self) -> bool:
        """Tell whether the engine answers."""
        return attempt(self._command, "version", "--format", "json").returncode == 0

    def image_id(self) -> str:
        """Return the digest of the image's configuration, which names all that is in it."""
        words = ("image", "inspect", "--format", "{{.Id}}", self._settings.image)
        return run(self._command, *words).strip()

    def start(self, task: Task) -> None:
        """Create the container where there is none, and start it once."""
        container = self._inspect(task.id)
        if container is None:
            self._create(task)
            container = self._inspect(task.id)
        if container is not None and container["State"]["Status"] in ("created", "configured"):
            run(self._command, "start", self._name(task.id))

    def status(self, id: str) -> Status | None:
        """Return what the container is at."""
        container = self._inspect(id)
        if container is None:
            return None
        state = container["State"]
        if state["Status"] in ("created", "configured"):
            return None
        return Status(
            running=bool(state["Running"]),
            exit_code=int(state["ExitCode"]),
            out_of_memory=bool(state["OOMKilled"]),
        )

    def log(self, id: str) -> Iterator[bytes]:
        """Yield what the engine has of the container's log, then what is added."""
        with subprocess.Popen(
            [self._command, "logs", "--follow", self._name(id)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as reading:
            if reading.stdout is None:
                raise TypeError("the log comes through a pipe")
            try:
                while piece := reading.stdout.read1(PIECE_BYTES):  # type: ignore[attr-defined]
                    yield piece
            finally:
                reading.kill()

    def remove(self, id: str) -> None:
        """Kill the container and remove it."""
        if self._inspect(id) is not None:
            run(self._command, "rm", "--force", "--volumes", self._name(id))

    def ids(self) -> set[str]:
        """Return the ids of the containers that have this runner's label."""
        label = f"label={LABEL}.{self._settings.prefix}"
        words = ("ps", "--all", "--filter", label, "--format", "{{.Names}}")
        names = run(self._command, *words).split()
        return {name.removeprefix(self._name("")) for name in names}

    def _create(self, task: Task) -> None:
        limits, wheels = self._settings.limits, self._settings.wheelhouse
        # Libraries are installed into the folder of a job, and those of wheels may be programs.
        programs = "exec" if wheels else "noexec"
        words = [
            *("--name", self._name(task.id)),
            *("--label", f"{LABEL}.{self._settings.prefix}={task.id}"),
            *("--network", self._settings.network if task.network else "none"),
            *("--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)),
            *("--cpu-period", str(CPU_PERIOD), "--cpu-quota", str(round(limits.cpus * CPU_PERIOD))),
            *("--pids-limit", str(limits.processes)),
            *("--ulimit", f"fsize={limits.disk_bytes}:{limits.disk_bytes}"),
            *("--tmpfs", f"/tmp:rw,nosuid,nodev,{programs},size={limits.disk_bytes},mode=1777"),
            *("--log-driver", LOG_DRIVERS[self._settings.engine]),
            *("--log-opt", f"max-size={2 * limits.log_bytes}"),
            *("--mount", f"type=bind,source={task.inputs},target={INPUTS},readonly"),
            *("--mount", f"type=bind,source={task.result},target={RESULT}"),
            *("--env", f"TREELINE_SECONDS={limits.seconds}"),
            *("--env", f"TREELINE_MODEL_BYTES={limits.model_bytes}"),
            *RESTRICTIONS,
            *OF_THE_ENGINE[self._settings.engine],
        ]
        if wheels is not None:
            words += ["--mount", f"type=bind,source={wheels.resolve()},target={WHEELS},readonly"]
        inside = ("python", "-m", "treeline.jobs.inside", task.kind, task.model)
        run(self._command, "create", *words, self._settings.image, *inside)

    def _inspect(self, id: str) -> dict[str, Any] | None:
        done = attempt(self._command, "container", "inspect", self._name(id))
        if done.returncode:
            # The same code where there is none and where no engine answers.
            run(self._command, "version", "--format", "json")
            return None
        return dict(json.loads(done.stdout)[0])

    def _name(self, id: str) -> str:
        return f"{self._settings.prefix}-{id}"
