"""`python -m benchmarks [NAME]` → the benchmarks there are, or one of them run."""

import sys
from importlib import import_module

from treeline.errors import TreelineError

BENCHMARKS = {
    "batch": "how many rows of a batch a second, beside the bare ONNX session?",
    "coverage": "how often does an interval of 95 % hold what it is an interval of?",
    "decisions": "how often do the gate and a contest decide wrongly?",
    "event_loop": "how long does the worst body keep other requests waiting?",
    "explanations": "what does an explanation cost, and how far is a sampled one off?",
    "loop": "how good are answers, week by week, with a model that learns and without?",
    "fair_models": "does a model that is slow, or asked by many, hold the others up?",
    "many_models": "how does the time of `dvc status` grow with the number of models?",
    "many_served": "how do memory and answers of a worker grow with the number of models?",
    "single_predictions": "how many predictions a second, beside an empty FastAPI endpoint?",
    "monitoring": "how often does a monitor alarm where nothing, or something, has changed?",
    "scale": "how do time and memory grow from 10 thousand rows to 10 million, here and on Spark?",
    "simulated_vs_real": "does what is trained on simulated seedlings hold on published ones?",
    "soak": "under load, with everything going wrong in turns: is anything lost?",
    "sql": "how fast do rows come from a database, beside the fastest driver?",
    "starting": "how long does the service take until it is ready, beside its libraries?",
    "tree_protocol": "does the declared recipe reach its floors on the published seedlings?",
}


def main(arguments: list[str]) -> int:
    """Run the benchmark named, a module here with a `main`, or list them; return its exit code."""
    if not arguments:
        print("python -m benchmarks NAME runs one of these:")
        for name, question in BENCHMARKS.items():
            print(f"  {name:18} {question}")
        return 0
    if len(arguments) > 1 or arguments[0] not in BENCHMARKS:
        asked, known = " ".join(arguments), ", ".join(BENCHMARKS)
        sys.exit(f"python -m benchmarks [NAME]: {asked!r} is no benchmark; choose from {known}")
    try:
        return int(import_module(f"benchmarks.{arguments[0]}").main())
    except TreelineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
