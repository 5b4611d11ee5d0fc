"""Import from and export to other tools' formats."""
