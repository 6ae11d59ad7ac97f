"""The command `tinyconv`: train, evaluate, predict, summary, gradcheck, data, plot, convdemo, zoo, lab, bench, doctor.

One file each.  What a command needs is imported when it runs, so that `tinyconv --help` is quick.
"""

import signal
import sys
import warnings


def main() -> None:
    """Run the command line; ends the process with 0, 1 (failure), 2 (bad input) or 130 (interrupted)."""
    from tinyconv.cli.app import app

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: with nothing half-written
    warnings.formatwarning = lambda message, *_: f"tinyconv: {message}\n"  # without the line that it came from
    arguments = sys.argv[1:]
    if "--debug" in arguments:  # one option for all commands, wherever it stands
        arguments = ["--debug", *(argument for argument in arguments if argument != "--debug")]
    app(arguments, prog_name="tinyconv")
