"""`mlctl serve`: reads the settings, binds the ports, and looks after the workers that serve the script.

Exit codes, those of Azure's server: 0 stopped, 1 wrong arguments or port in use, 3 a bad setting or a script that does
not start.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """Serve, and return the exit code."""
    # Before anything takes time: Ctrl-C is no reason for a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    faulthandler.enable()
    from mlctl.scoring.serving.command_line import read_arguments
    from mlctl.scoring.serving.server import Server

    return Server(read_arguments(words)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
