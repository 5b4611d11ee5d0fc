"""Sequence rules over stored feeds: findings, ledger, report."""
