"""The root folder: its folders, its id, its lock, and what the service says there of itself."""
