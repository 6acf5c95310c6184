"""`python -m api.keys NAME [--scopes predict,read] [--expires 2027-01-31]`: a new API key.

It is shown this once, with the line that makes it known.
"""

import argparse
import sys

from api.http.keyring import EVERYTHING, SCOPES, day_of, new_key, scopes_of
from treeline.errors import ConfigError


def main(arguments: list[str]) -> int:
    """Print a new key; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m api.keys", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="who will use it, as logs shall say")
    parser.add_argument(
        "--scopes",
        metavar="SCOPES",
        default="+".join(sorted(EVERYTHING)),
        help="what it is good for, separated by commas; everything but jobs without. "
        + ". ".join(f"{name}: {text}" for name, text in SCOPES.items()),
    )
    parser.add_argument("--expires", metavar="DAY", help="the last day it is valid (UTC)")
    wanted = parser.parse_args(arguments)
    try:
        scopes = scopes_of(wanted.scopes.replace(",", "+").split("+"))
        expires = day_of(wanted.expires) if wanted.expires else None
        key, line = new_key(wanted.name, scopes=scopes, expires=expires)
    except ConfigError as error:
        print(f"python -m api.keys: {error}", file=sys.stderr)
        return 2
    print(f"Key, for its user; it is stored nowhere:\n  {key}")
    print(f"Line for API_KEYS or the file of API_KEYS_FILE:\n  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
