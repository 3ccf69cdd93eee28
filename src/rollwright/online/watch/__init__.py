"""What is watched while models serve: realised against expected IC, drift of features, and whether data arrive."""
