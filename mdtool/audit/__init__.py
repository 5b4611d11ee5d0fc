"""Rules -> findings -> ledger -> report: what is in a feed, what is proven of it, and what is wrong with it."""

from mdtool.audit.feed import audit_feed, audit_store
from mdtool.audit.findings import Finding
from mdtool.audit.ledger import Interval, Validity
from mdtool.audit.report import FeedReport, StreamReport

__all__ = ["FeedReport", "Finding", "Interval", "StreamReport", "Validity", "audit_feed", "audit_store"]
