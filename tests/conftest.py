"""Settings for all tests."""

import atexit
import os
import shutil
import tempfile

# Child processes must find the installed package, not the folder they are started in.
os.environ["PYTHONSAFEPATH"] = "1"
# What the tests keep goes beside no user's own packs.
_PACKS = tempfile.mkdtemp(prefix="streamfx-packs-")
os.environ["STREAMFX_PACKS"] = _PACKS
atexit.register(shutil.rmtree, _PACKS, ignore_errors=True)
