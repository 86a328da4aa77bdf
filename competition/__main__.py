"""`python -m competition`, the same as the command `competition`."""

from competition.cli import main

main()
