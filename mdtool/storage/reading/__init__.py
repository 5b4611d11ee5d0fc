"""Reading a feed: one reader, many as one, positions that are kept, waiting for more."""
