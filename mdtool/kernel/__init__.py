"""Compiled core: the journal (append, read, CRC-32C), the decimal ladder parser, and order books (L2, L3)."""
