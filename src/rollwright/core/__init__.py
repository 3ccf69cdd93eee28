"""What every package builds on: identities, references, registries, atomic files, locks, memory, time."""
