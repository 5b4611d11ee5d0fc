"""Gate: spot, and USDT-settled perpetuals."""
