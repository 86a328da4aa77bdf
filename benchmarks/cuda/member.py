"""Trains members in a process that others run beside: `python -m benchmarks.cuda.member ...`.

Everything is imported and read before the process says that it is ready; it trains when it is told.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from twinrun.process import restart_process

_LOOK_SECONDS = 0.005


def main() -> None:
    """Arguments: competition.toml, names with commas, the files `ready`, `go` and `answer`."""
    restart_process()
    config, names, *files = sys.argv[1:]
    ready, go, answer = map(Path, files)
    import torch

    from twinrun.config.reading import read_settings
    from twinrun.console import ignore_known_warnings
    from twinrun.data.cache import cache_pixels, with_pixels
    from twinrun.data.index import build_index
    from twinrun.repro.digests import digest_tensors, fetch_digests
    from twinrun.repro.environment import set_up
    from twinrun.repro.ledger import Ledger
    from twinrun.train.fit import fit_phases
    from twinrun.train.members import set_up_training
    from twinrun.train.recorder import Recorder

    ignore_known_warnings()
    settings = read_settings(Path(config))
    environment = set_up(threads=settings.run.threads, device=settings.run.device)
    index = build_index(settings)
    cache = settings.cache_folder(Path(config).parent)
    pixels = cache_pixels(index, settings.data_folder, settings.cached_sizes(), cache)
    index = with_pixels(index, pixels)
    torch.zeros(1, device=environment["decides"]["device"])
    ready.touch()
    while not go.exists():
        time.sleep(_LOOK_SECONDS)
    started, digests = time.perf_counter(), {}
    for name in names.split(","):
        setup = set_up_training(name, settings, index, pixels, environment)
        recorder = Recorder(Ledger({}), settings.run.ledger)
        fit_phases(setup.learner, setup.member, recorder, None, lambda *_: [])
        weights = list(setup.learner.model.state_dict().values())
        digests[name] = f"{fetch_digests([digest_tensors(weights)])[0]:016x}"
        del setup, weights
    seconds = time.perf_counter() - started
    answer.write_text(json.dumps({"seconds": seconds, "digests": digests}), encoding="utf-8")


if __name__ == "__main__":
    main()
