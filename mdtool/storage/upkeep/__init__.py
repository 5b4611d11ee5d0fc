"""What is done to closed chunks and parts while a store is in use: sealing and retention."""
