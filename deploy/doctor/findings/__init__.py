"""What the facts mean: each module turns one kind of facts into findings, without I/O."""
