"""OKX, all its markets."""
