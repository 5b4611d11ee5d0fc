"""THE storage module: every byte mdtool keeps is written and read here."""
