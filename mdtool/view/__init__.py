"""What people look at: rich renderables, and output.py, the one place that prints."""
