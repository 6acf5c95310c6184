"""Write docs/estimators.md: every estimator fitted, exported and asked, for each kind of input."""

from tests.estimators.cells import KINDS, SENT, cases, served
from tests.estimators.document import PATH, document
from treeline.files import write_text


def main() -> None:
    """Make every cell, and write the table."""
    table = {}
    for task, path in cases():
        table[task, path] = [served(task, path, name) for name in KINDS]
        print(f"{path}: {', '.join(sorted({cell for cell in table[task, path]}))}", flush=True)
    write_text(PATH, document(table, sent=SENT))


if __name__ == "__main__":
    main()
