"""What is being written: chunks, their writer, the registries that name them, and who holds a feed."""
