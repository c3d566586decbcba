"""Settings for all tests."""

import os

# Child processes must find the installed package, not the folder they are started in.
os.environ["PYTHONSAFEPATH"] = "1"
