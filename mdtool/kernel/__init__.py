"""Compiled core: the journal (append, read, CRC-32C) and the decimal ladder parser."""
