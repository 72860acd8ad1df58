"""Starts a replica in an interpreter that mlctl is not installed in: run by its path, inside a copy of mlctl.scoring.

The copy is found during the start only. What the script imports later, and what its child processes are given, is as
if mlctl were not there; no variable is needed for it. Usage: `python …/standalone.py mlctl.scoring --fd 3 …`,
or `mlctl.scoring.batch` for a worker of a batch job.
"""

import os
import sys


def _start() -> int:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    sys.path[0] = root  # in place of this file's own folder, whose modules have common names
    writes_no_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    if sys.argv[1] == "mlctl.scoring.batch":
        from mlctl.scoring.batch.__main__ import main
    else:
        from mlctl.scoring.__main__ import main

    sys.dont_write_bytecode = writes_no_bytecode
    sys.path.remove(root)
    return main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(_start())
