"""Starts the writer: run by its path in isolated mode, so that mlctl need not be installed where the replica runs."""

import os
import sys

if __name__ == "__main__":
    own = os.path.abspath(__file__)  # noqa: PTH100 - pathlib costs this process a third of its start
    sys.path.insert(0, own.rsplit(os.sep, 4)[0])
    from mlctl.scoring.collection.writer import main

    sys.exit(main(sys.argv[1:]))
