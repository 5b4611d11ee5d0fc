"""Where a replay goes: encoders from records to bytes, and the byte stream that takes them."""
