"""mdtool's own figures on this machine, beside their budgets and a baseline measured in the same run."""
