"""Stored feeds merged by time and paced as they were received."""
