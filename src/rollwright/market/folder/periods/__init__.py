"""Fields by period in a data folder: Qlib's files of records and their indexes, and what the fields measure."""
