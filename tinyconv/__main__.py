"""`python -m tinyconv` is the command `tinyconv`."""

from tinyconv.cli import main

main()
