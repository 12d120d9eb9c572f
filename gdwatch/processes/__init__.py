"""Child processes, the decode worker and the engine, and both ends of their sockets."""
