"""Tasks that join layers which must not know each other. They return values and never print."""
