"""`python -m service`: see `command`, which is imported when Ctrl-C ends the process without a traceback."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Serve, or do what else the command line asks for."""
    signal.signal(signal.SIGINT, _end)
    # Other services' metrics may be kept in files there; ours never are.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    from service.processes import command

    command.main()


def _end(sig: int, frame: FrameType | None) -> None:
    # Not by an exception: raised amid an import, it would be taken for what is wrong with that.
    sys.stdout.flush()
    os._exit(128 + sig)


if __name__ == "__main__":
    main()
