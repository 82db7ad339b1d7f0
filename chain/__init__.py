"""What persists and what chooses: the database, state tree, blobs, blocks, fork choice, mempool."""
