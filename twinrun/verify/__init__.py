"""A run or a package, made again."""
