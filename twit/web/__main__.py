"""`python -m twit.web` serves until SIGTERM or SIGINT."""

from twit.metrics import share

if __name__ == "__main__":
    share("TWIT_METRICS_WEB")
    from twit.web.server import main

    main()
