"""Files and folders as the kernel has them: names, identity, content, durability, mounts."""
