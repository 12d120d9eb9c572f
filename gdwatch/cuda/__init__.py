"""What a card wants done its own way: streams and graphs, whole batches, and the trial of it."""
