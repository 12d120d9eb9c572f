"""The service: its loop, what it files, how it pauses, and what systemd and signals want."""
