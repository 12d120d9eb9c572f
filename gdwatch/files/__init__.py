"""Files and folders at the level of system calls: names, identity, content, fsync, mounts."""
