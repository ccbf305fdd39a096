"""`python -m supervised_reptile`: the console command `reptile`."""

from supervised_reptile.cli.main import main

main()
