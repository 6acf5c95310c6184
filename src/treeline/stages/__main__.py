"""`python -m treeline.stages STAGE MODEL`: run a stage, with the same arithmetic on every machine.

Libraries choose among instructions by what the processor has, and the last digits of a sum depend
on the choice. So that the same commit gives the same bytes on a laptop and on any runner, they are
held to what every x86-64 processor since 2013 has. They look when they are first imported.
"""

import os
import platform
import sys
from importlib import import_module

ARITHMETIC = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
}


def main(arguments: list[str]) -> None:
    """Settle the arithmetic, unless the environment says otherwise, and run the stage."""
    if platform.machine() in {"x86_64", "AMD64"}:
        for name, value in ARITHMETIC.items():
            os.environ.setdefault(name, value)
    import_module("treeline.stages.running").run(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
