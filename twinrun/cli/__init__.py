"""The commands; thin: each parses, calls and prints. Heavy imports wait until needed."""
