"""Judging on many machines, with Ray: actors, storage, and what they answer."""
