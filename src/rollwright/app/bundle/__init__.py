"""A campaign's project in one signed file, for hosts that share no file system: made, verified, unpacked, worked at."""
