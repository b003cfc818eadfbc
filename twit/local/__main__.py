"""`python -m twit.local`: everything on this machine, until Ctrl-C."""

import sys

from twit.local.supervisor import main

sys.exit(main())
