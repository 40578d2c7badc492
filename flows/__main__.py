"""`python -m flows` is the `zimage` command, for places where no script is installed."""

from flows.cli import main

main()
