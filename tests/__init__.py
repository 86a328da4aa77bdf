"""The test suite: one folder per room of the engine, one module per module."""

import os

# As `twinrun` starts itself: two threads of OpenMP on a busy machine otherwise wait for each
# other for most of a minute. It is read once, when torch is imported, and changes no bit.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
