"""`python -m twit.local` runs all parts until Ctrl-C."""

from twit.local.supervisor import main

main()
