"""What holds the arithmetic of libraries to one set of instructions, on every machine.

Libraries choose among instructions by what the processor has, and the last digits of a sum depend
on the choice. So that the same commit gives the same bytes on a laptop and on any runner, they are
held to what every x86-64 processor since 2013 has. They look when they are first imported.
"""

import os
import platform

ARITHMETIC = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
}


def settle() -> None:
    """Settle the arithmetic of what is imported later, unless the environment says otherwise."""
    if platform.machine() in {"x86_64", "AMD64"}:
        for name, value in ARITHMETIC.items():
            os.environ.setdefault(name, value)
