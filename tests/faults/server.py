"""Runs commands of tile2vec in forked children that fail or die at the n-th output operation.

Started under the shim (see shim.c). Reads one JSON object a line, {"argv", "prefix", "at", "action"}, and
answers with {"code", "count", "stderr"}: code is negative for a signal, count the operations of a child
that lived to tell. Forking saves each trial the seconds that imports take.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import tempfile
import warnings

import geopandas  # noqa: F401
import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import pyarrow.parquet  # noqa: F401
import rasterio  # noqa: F401
import sklearn.linear_model  # noqa: F401
import torch._dynamo  # noqa: F401  (optimisers import it at their first step)

from tile2vec_cli import cli
from tile2vec_cli.embedding import embeddings, inference  # noqa: F401
from tile2vec_cli.evaluation import probe_reports  # noqa: F401
from tile2vec_cli.learning import training  # noqa: F401
from tile2vec_cli.segmentation import mapping, weak_reports  # noqa: F401
from tile2vec_cli.tiling import cutting, triplets  # noqa: F401

warnings.simplefilter("ignore")

_TURNS_FOR_S = (
    60  # of processor time; no command here takes a tenth of that. The signal tells of one that hangs
)


def child(request: dict, out: int, err: int, answer: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    shim = ctypes.CDLL(None)
    shim.fault_arm(request["prefix"].encode(), ctypes.c_long(request["at"]), request["action"])
    signal.setitimer(signal.ITIMER_PROF, _TURNS_FOR_S)
    sys.argv = ["tile2vec", *request["argv"]]
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    shim.fault_count.restype = ctypes.c_long
    count = shim.fault_count()
    shim.fault_arm(b"", ctypes.c_long(0), 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(answer, str(count).encode())
    os._exit(code)


def serve(request: dict) -> dict:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            child(request, out.fileno(), err.fileno(), writing)
        os.close(writing)
        told = os.read(reading, 100)
        os.close(reading)
        _, status = os.waitpid(pid, 0)
        err.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "count": int(told) if told else None,
            "stderr": err.read().decode(errors="replace"),
        }


def main() -> None:
    # What a command prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
