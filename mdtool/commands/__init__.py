"""The command tree: one file per verb, options -> task -> output."""
