"""The door: `twinrun` and `python -m twinrun`. Light, so that --help is quick."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from types import FrameType, TracebackType

from twinrun.process import is_importing, restart_process
from twinrun.streams import let_no_print_fail


def main() -> None:
    """Prepare the process, then run the command that its arguments name."""
    let_no_print_fail()
    sys.excepthook = _show
    restart_process()
    # A scheduler's SIGTERM ends a run as Ctrl-C does. Where Ctrl-C is ignored, as in a background
    # job of a shell script, it stays so.
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    from twinrun.cli.endings import one_message

    # What a command itself does ends within it; here is what comes before and after.
    with one_message(debug="--debug" in sys.argv):
        from twinrun.cli.app import app
        from twinrun.console import ignore_known_warnings, relay_warnings

        ignore_known_warnings()
        relay_warnings()
        app()


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None, /) -> None:
    """Print a traceback, as --debug asks for it: a name may stand in the error."""
    from twinrun.console import relay

    relay("".join(traceback.format_exception(kind, error, trace)).splitlines())


def _stop(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but not within an import: ask again a little later."""
    if not is_importing(frame):
        raise KeyboardInterrupt
    later = threading.Timer(0.1, signal.raise_signal, [number])
    later.daemon = True
    later.start()


if __name__ == "__main__":
    main()
