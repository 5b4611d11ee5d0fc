"""Bitget spot."""
