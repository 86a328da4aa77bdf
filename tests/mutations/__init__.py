"""Each source of randomness in docs/where-randomness-comes-in.md, let in on purpose."""

import os

# As `competition` starts itself: two threads of OpenMP on a busy machine otherwise wait for each
# other for most of a minute. It is read once, when torch is imported, and changes no bit.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
