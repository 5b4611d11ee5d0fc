"""What a stored feed holds of its book: where whole ones stand, and how far back what is kept reaches."""
