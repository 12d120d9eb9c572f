"""Answers for a classifier to learn from, given by published networks."""
