"""skops: a file whose types are looked at before anything is built."""

from pathlib import Path

import skops.io

from treeline.errors import ArtifactRejectedError
from treeline.intake import Said
from treeline.intake.models import FittedModel, opened

TRUSTED_PACKAGES = ("numpy", "scipy", "sklearn", "xgboost")


def read_skops(place: str, said: Said) -> FittedModel:
    """Open a file of skops; raises ArtifactRejectedError, which names types that are not trusted.

    Types of the libraries that train here are trusted, and all where a person says so.
    """
    payload = Path(place).read_bytes()
    try:
        unknown = skops.io.get_untrusted_types(data=payload)
    except Exception as error:  # a file that is no archive
        raise ArtifactRejectedError(f"{place}: not a file of skops: {error}") from error
    strange = [each for each in unknown if each.partition(".")[0] not in TRUSTED_PACKAGES]
    if strange and not said.trust:
        raise ArtifactRejectedError(
            f"{place}: holds {', '.join(strange)}, which none of the libraries here has; if you "
            "trust who made it, say --trust"
        )
    return opened(place, lambda: skops.io.loads(payload, trusted=unknown))
