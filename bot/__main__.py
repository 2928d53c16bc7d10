"""`python -m bot` is `egcfg-fix`."""

import sys

from bot.cli import main

if __name__ == "__main__":
    sys.exit(main())
