"""From open files to decisions: workers, slots, batches, the engine and the rules."""
