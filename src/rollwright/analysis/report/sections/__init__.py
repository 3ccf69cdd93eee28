"""The sections of the report, each made of the tables that it shows; one without its table is left out."""
