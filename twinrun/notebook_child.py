"""The process of a command that a notebook has started: it does not outlive the notebook's kernel.

`python -m twinrun.notebook_child PARENT ARGUMENTS...`, with the process id of the kernel.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from twinrun.__main__ import main

# Seconds between two looks at the parent.
_EVERY = 1.0


def _watch(parent: int) -> None:
    """Stop this process as SIGTERM does once it has another parent: then the kernel is gone."""
    while os.getppid() == parent:
        time.sleep(_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    kernel = int(sys.argv[1])
    del sys.argv[1]
    # Started over with the variables of a training (`process.restart_process`), it comes here again
    # with the same arguments, and the watch begins anew.
    threading.Thread(target=_watch, args=(kernel,), daemon=True).start()
    main()
