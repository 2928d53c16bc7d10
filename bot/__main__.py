"""`python -m bot` is `egcfg-fix`, for use from this project's own folder.

Elsewhere use the command: `python -m` looks for `bot` in the current folder first, and a repository may have one.
"""

import sys

from bot.cli import main

if __name__ == "__main__":
    sys.exit(main())
