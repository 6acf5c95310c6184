"""A key that callers bring along: their own name of what a record is about, as a text.

It is carried, recorded and joined, and no model sees it. So it is short and plain: letters, digits
and ._:/+=@-
"""

import re

from treeline.contract.features import WHOLE_MAX

KEY_CHARACTERS = 100
KEY_PATTERN = f"^[A-Za-z0-9._:/+=@-]{{1,{KEY_CHARACTERS}}}$"
KEY_WANTED = f"a text of 1 to {KEY_CHARACTERS} plain characters, or a whole number"


_PLAIN = re.compile(KEY_PATTERN.rstrip("$") + r"\Z")


def key_text(value: object) -> str | None:
    """Return a key as the text under which it is known, None for what is none."""
    if isinstance(value, str):
        return value if _PLAIN.match(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    whole = abs(value) < WHOLE_MAX and value == int(value)
    return str(int(value)) if whole else None
