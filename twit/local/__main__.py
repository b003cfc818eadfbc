"""`python -m twit.local` runs all parts until Ctrl-C."""

import sys

from twit.local.supervisor import main

sys.exit(main())
