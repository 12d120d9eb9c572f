"""Photographs in, decisions out: workers, slots, batches, the engine, and the decision."""
