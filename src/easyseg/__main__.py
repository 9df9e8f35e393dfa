"""`python -m easyseg` is the command line, too."""

import sys

from easyseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
