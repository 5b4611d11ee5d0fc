"""KuCoin spot."""
