"""Does a model that is slow, or asked by many, hold the others of a worker up?

One worker serves copies of a model that is exported here, two of which are made slow by products of
large matrices. One caller asks a slow, and then a fast model, one request after the other, while
many ask another one as fast as answers come. Printed are medians and 95th percentiles of that one
caller: alone, beside a fast model under load, beside a slow one under load.
"""

import http.client
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.many_served import FILE, PORT, asked, ready_after, serving, write_copies
from treeline.artifact.store import SIGNATURE_FILE
from treeline.contract.signature import Signature
from treeline.files import digest

FAST, SLOW = ("fast", "fast-too"), ("slow", "slow-too")
SIZE, PRODUCTS = 1024, 60
CALLERS = 800
ASKED = 20
LOADS = {"alone": "", "beside a fast one": "fast-too", "beside a slow one": "slow-too"}


def main() -> int:
    """Print a line per model and load; return 2 where wrk is absent."""
    if shutil.which("wrk") is None:
        print("wrk is needed to ask fast enough; Debian has it as the package `wrk`")
        return 2
    print("| asked | load | median, ms | 95th percentile, ms |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        write_copies(Path(folder) / "model", [*FAST, *SLOW])
        for name in SLOW:
            slow_down(Path(folder) / "model" / name)
        with serving(Path(folder)) as process:
            ready_after(connected(), process, time.perf_counter())
            for name, load in product(("fast", "slow"), LOADS):
                seen = asked_beside(Path(folder), name, LOADS[load])
                tail = statistics.quantiles(seen, n=20)[-1]
                print(
                    f"| {name} | {load} | {statistics.median(seen):.1f} | {tail:.1f} |", flush=True
                )
    return 0


def asked_beside(folder: Path, name: str, other: str) -> list[float]:
    """Ask a model while many ask another one; return the milliseconds of each request."""
    signature = Signature.read(folder / "model" / name / SIGNATURE_FILE)
    body = json.dumps(signature.example.record).encode()
    with loaded(folder, other, body):
        connection = connected()
        return [asked(connection, name, body) for _ in range(ASKED)]


def connected() -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)


@contextmanager
def loaded(folder: Path, name: str, body: bytes) -> Iterator[None]:
    """Have many ask a model meanwhile, from a process of their own; nobody without a name."""
    if not name:
        yield
        return
    script = folder / "ask.lua"
    header = 'wrk.headers["Content-Type"] = "application/json"'
    script.write_text(f'wrk.method = "POST"\n{header}\nwrk.body = [[{body.decode()}]]\n', "utf-8")
    url = f"http://127.0.0.1:{PORT}/v1/models/{name}/predict"
    command = ["wrk", "-t1", f"-c{CALLERS}", "-d600s", "-s", str(script), url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as callers:
        time.sleep(1)
        try:
            yield
        finally:
            callers.terminate()


def slow_down(folder: Path) -> None:
    """Let the graph of a model do much that does not change its answer."""
    model = onnx.load(folder / FILE)
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["delayed" if each == "features" else each for each in node.input]
    width = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    weights = {"widen": (width, SIZE), "square": (SIZE, SIZE)}
    for name, shape in weights.items():
        matrix = np.full(shape, 1e-4, np.float32)
        graph.initializer.append(numpy_helper.from_array(matrix, name))
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "nothing"))
    names = ["known", "wide", *(f"product-{number}" for number in range(PRODUCTS))]
    nodes = [
        helper.make_node("IsNaN", ["features"], ["absent"]),
        helper.make_node("Where", ["absent", "nothing", "features"], ["known"]),
        helper.make_node("MatMul", ["known", "widen"], ["wide"]),
        *(
            helper.make_node("MatMul", [before, "square"], [after])
            for before, after in pairwise(names[1:])
        ),
        helper.make_node("ReduceMax", [names[-1]], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "nothing"], ["zero"]),
        helper.make_node("Add", ["features", "zero"], ["delayed"]),
    ]
    for node in reversed(nodes):
        graph.node.insert(0, node)
    (folder / FILE).write_bytes(model.SerializeToString())
    signature = Signature.read(folder / SIGNATURE_FILE)
    whole = signature.model_copy(update={"files": {FILE: digest(folder / FILE)}})
    (folder / SIGNATURE_FILE).write_text(whole.model_dump_json(indent=2), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
