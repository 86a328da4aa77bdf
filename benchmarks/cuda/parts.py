"""The table of parts, in the order of their worth: what is measured first where minutes are few."""

from __future__ import annotations

from benchmarks.cuda.schedule import Part

# Seconds of eight minutes. What a part leaves over is the last one's.
PARTS = (
    Part("machine", "The machine", 30),
    Part("tests", "Tests of CUDA: images, warp, digests, resume", 50),
    Part("twins", "Twins of the networks, at 224 px and on the fixture", 130, least=30),
    Part("mutations", "Mutations on a GPU", 50, least=20),
    Part("table", "Against the limit; what determinism and the ledger cost", 75, least=20),
    Part("step", "A step as a CUDA graph, and compiled", 50, least=20),
    Part("members", "Members one after the other, and side by side", 65, least=20),
    Part("reference", "The reference job", None, least=20),
)
