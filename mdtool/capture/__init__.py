"""The only network client: sockets in, records out."""
