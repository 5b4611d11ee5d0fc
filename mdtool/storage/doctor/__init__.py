"""What looks for damage and mends it: verify, repair, and registries made again."""
