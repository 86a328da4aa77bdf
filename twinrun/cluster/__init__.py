"""Members on many machines: what they share, who works where, how far it is."""
