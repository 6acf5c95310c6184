"""`python -m treeline.stages STAGE MODEL`: run a stage, with the same arithmetic everywhere."""

import sys
import tomllib
from importlib import import_module
from pathlib import Path

import treeline
from treeline.stages.arithmetic import settle
from treeline.stages.forking import run_forked

HERE = Path("src/treeline")  # the code that DVC writes down as what a stage ran
RECORD = Path("treeline.toml")  # where the code is installed: the version that stages are run by
INTERRUPTED = 130  # the exit code of a shell's command that Ctrl-C ended


def main(arguments: list[str]) -> None:
    """Settle the arithmetic and run the stage."""
    run = Path(treeline.__file__).parent
    if HERE.is_dir() and not HERE.samefile(run):
        sys.exit(
            f"{' '.join(arguments)}: this Python runs {run}, and DVC would write down {HERE}; "
            "install this checkout in its place: make setup"
        )
    if RECORD.is_file() and (declared := _declared_version()) != treeline.__version__:
        sys.exit(
            f"{' '.join(arguments)}: {RECORD} names treeline {declared}, and this Python has "
            f"{treeline.__version__}: install the one by make setup, or move to the other by "
            "treeline upgrade"
        )
    settle()
    code = run_forked(arguments)
    if code is None:
        import_module("treeline.stages.running").run(arguments)
    elif code:
        sys.exit(code)


def _declared_version() -> object:
    """Return the version that a repository of models names, None where it names none."""
    return tomllib.loads(RECORD.read_text(encoding="utf-8")).get("version")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
