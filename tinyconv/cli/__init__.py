"""The command `tinyconv`: train, evaluate, predict, summary, gradcheck, data, plot, convdemo, zoo, lab, doctor.

One file each.  What a command needs is imported when it runs, so that `tinyconv --help` is quick.
"""

import sys


def main() -> None:
    """Run the command line; ends the process with 0, 1 (failure), 2 (bad input) or 130 (interrupted)."""
    from tinyconv.cli.app import app

    arguments = sys.argv[1:]
    if "--debug" in arguments:  # one option for all commands, wherever it stands
        arguments = ["--debug", *(argument for argument in arguments if argument != "--debug")]
    app(arguments, prog_name="tinyconv")
