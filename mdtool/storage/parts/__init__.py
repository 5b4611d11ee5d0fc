"""What is sealed: closed chunks as Parquet files, and the places they are kept in."""
