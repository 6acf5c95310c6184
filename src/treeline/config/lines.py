"""The lines of a YAML file → where an entry of a block ends, so that no other line changes."""


def end_of_entry(lines: list[str], start: int, column: int) -> int:
    """Return where the entry ends whose key stands at a line and a column, counted from 0.

    The comments in front of the next entry are about that one.
    """
    ends = (
        number
        for number, line in enumerate(lines[start + 1 :], start + 1)
        if _depth(line) <= column and not _says_nothing(line)
    )
    end = next(ends, len(lines))
    while _says_nothing(lines[end - 1]) and _depth(lines[end - 1]) <= column:
        end -= 1
    if end < len(lines) and not lines[end].strip():
        end += 1  # the blank line behind it goes along
    return end


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _says_nothing(line: str) -> bool:
    return line.strip()[:1] in ("", "#")
