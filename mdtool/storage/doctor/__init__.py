"""What looks for damage and mends it. Three doors, and what stands behind them:

verify      only looks: findings (`flaws`)
repair      one feed made whole, its registry, chunks, parts and cursors
rebuild     registry.bin, and each feed.bin, made again from what is there

`untrusted` reads files without believing them; on it stand `store_evidence`, `feed_evidence`, `chunk_evidence` and
`part_evidence`, each of which says what one kind of file holds and proves. `chunk_findings` judges a chunk by its entry
(`slot`). `recovered_table` works out what feed.bin should hold and `mended_chunk` what a damaged chunk should;
`registry_image` puts the one in its place and `mended_chunk` the other, after `quarantine` has kept what was there.
"""
