"""Order books, and the state machine that keeps one in step with its feed."""
