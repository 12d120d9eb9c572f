"""Networks that others have published, read from the files of their packages."""
