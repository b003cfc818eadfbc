"""`python -m twit.local` runs all parts until Ctrl-C."""

from twit.local.signals import end_at_once

if __name__ == "__main__":
    end_at_once()
    from twit.local.supervisor import main

    main()
