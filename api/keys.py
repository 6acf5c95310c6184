"""`python -m api.keys NAME`: a new API key, shown this once, and the line that makes it known."""

import argparse
import sys

from api.security.keyring import new_key
from treeline.errors import ConfigError


def main(arguments: list[str]) -> int:
    """Print a new key; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m api.keys", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="who will use it, as logs shall say")
    try:
        key, line = new_key(parser.parse_args(arguments).name)
    except ConfigError as error:
        print(f"python -m api.keys: {error}", file=sys.stderr)
        return 2
    print(f"Key, for its user; it is stored nowhere:\n  {key}")
    print(f"Line for API_KEYS or the file of API_KEYS_FILE:\n  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
