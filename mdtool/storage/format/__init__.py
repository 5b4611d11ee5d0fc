"""Bytes and nothing else: what each structure of a store looks like on disk. Opens no file."""
