"""`python -m treeline.commands.compare --base REV [MODEL …]`: exports here against those of REV.

Both artifacts predict the candidate's test rows. Prints the comparison, writes it to
`model/<model>/comparison.{json,md}`, and exits with 1 when a model must not ship. The revision
`released` stands for the models in service, or for those of HEAD as long as there are none.
"""

import argparse
import sys

from treeline.config import Layout, read_params
from treeline.delivery import notes
from treeline.delivery.incumbents import Answer, answer
from treeline.delivery.releasing import RELEASED, incumbent
from treeline.delivery.repository import resolved
from treeline.delivery.storage import shared
from treeline.errors import ComparisonError, TreelineError
from treeline.files import write_json, write_text


def main(arguments: list[str]) -> int:
    """Compare the named models, or all, and return the exit code."""
    parser = argparse.ArgumentParser(prog="compare", description=__doc__)
    parser.add_argument("--base", required=True, help="commit, branch or tag of the incumbent")
    parser.add_argument("--accept", action="store_true", help="tell what is lost, and end well")
    parser.add_argument("models", nargs="*", help="names of models; all without any")
    asked = parser.parse_args(arguments)
    shared()  # an incumbent may have to be fetched from there
    base = incumbent() if asked.base == RELEASED else asked.base
    good, declared = True, read_params().models
    for name in asked.models or declared:
        if name not in declared:
            raise ComparisonError(f"{name}: not declared; declared are {', '.join(declared)}")
        found = answer(declared[name], Layout(name), base=base)
        _keep(found, Layout(name))
        good = found.good and good
    noted = {"base": resolved(base) or base, "good": good, "accepted": asked.accept}
    notes.leave(notes.COMPARED, noted)
    if not good and asked.accept:
        print("Accepted all the same, as asked.")
    return 0 if good or asked.accept else 1


def _keep(found: Answer, paths: Layout) -> None:
    """Show the answer, and write it in the place of an earlier one."""
    print(found.text + "\n", flush=True)
    paths.comparison.unlink(missing_ok=True)
    if found.found is not None:
        write_json(paths.comparison, found.found)
    write_text(paths.comparison.with_suffix(".md"), found.text + "\n")


if __name__ == "__main__":
    try:
        with notes.complaining("compare"):
            sys.exit(main(sys.argv[1:]))
    except TreelineError as error:
        sys.exit(str(error))
