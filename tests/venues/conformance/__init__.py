"""What each venue's documentation says of its feed, as data, and whether the venue's adapter reads it so.

A row is NAME.toml, written by hand: messages as the venue documents them, and beside each where it belongs, what it
says, what its sequence is worth and what the book is worth after it. Nothing in a row comes from the code it judges.
"""
