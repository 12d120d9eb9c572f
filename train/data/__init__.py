"""From photographs on a disk to a prepared set: sources, splits, near-duplicates."""
