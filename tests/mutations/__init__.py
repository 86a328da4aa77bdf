"""Each source of randomness in docs/where-randomness-comes-in.md, let in on purpose."""
