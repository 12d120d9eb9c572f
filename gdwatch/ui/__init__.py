"""The page `gdwatch ui`: looking at decisions, and reviewing those that are unsure."""
