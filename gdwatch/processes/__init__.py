"""Both ends of a child process, and what runs in one: the decode worker and the engine."""
