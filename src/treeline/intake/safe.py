"""skops: a file whose types are looked at before anything is built."""

from pathlib import Path

import skops.io

from treeline.errors import ArtifactRejectedError
from treeline.intake import Said
from treeline.intake.models import FittedModel, opened

TRUSTED_PACKAGES = ("catboost", "lightgbm", "numpy", "scipy", "sklearn", "xgboost")
TRUSTED_CONTAINERS = frozenset({"collections.OrderedDict", "collections.defaultdict"})
# Of functions only these: some of their packages' run a text that they are given.
TRUSTED_FUNCTIONS = frozenset(
    {"numpy.dtype", "numpy.mean", "scipy._lib.array_api_compat.numpy._aliases.asarray"}
)
SCORES = "sklearn.feature_selection."  # functions by which columns are chosen


def read_skops(place: str, said: Said) -> FittedModel:
    """Open a file of skops; raises ArtifactRejectedError, which names types that are not trusted.

    Classes of the libraries that train here are trusted, and all where a person says so.
    """
    payload = Path(place).read_bytes()
    try:
        unknown = skops.io.get_untrusted_types(data=payload)
    except Exception as error:  # a file that is no archive
        raise ArtifactRejectedError(f"{place}: not a file of skops: {error}") from error
    strange = [each for each in unknown if not _is_trusted(each)]
    if strange and not said.trust:
        raise ArtifactRejectedError(
            f"{place}: holds {', '.join(strange)}, which is no class of the libraries here; if you "
            "trust who made it, say --trust"
        )
    return opened(place, lambda: skops.io.loads(payload, trusted=unknown))


def _is_trusted(path: str) -> bool:
    """Tell whether an import path is that of a class, which has a capital, or a known function."""
    if path in TRUSTED_FUNCTIONS | TRUSTED_CONTAINERS or path.startswith(SCORES):
        return True
    package, name = path.partition(".")[0], path.rpartition(".")[2]
    return package in TRUSTED_PACKAGES and name.lstrip("_")[:1].isupper()
