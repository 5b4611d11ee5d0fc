"""The emulator: a server that speaks a venue's own protocol from a stored feed or a synthetic market."""
