"""Where things are in a package."""

from __future__ import annotations

README, CONTENTS = "README.md", "package.json"
CODE, RUN = "code", "run"
# What a run needs; what development needs on top is nothing to a host.
LOCK_NAME, DEVELOPMENT_LOCK_NAME = "requirements.lock", "requirements-dev.lock"
LOCK = f"{CODE}/{LOCK_NAME}"

# What a run may leave in a package. No weights but safetensors: to read others may run code.
RUN_SUFFIXES = (".csv", ".html", ".json", ".parquet", ".safetensors")
