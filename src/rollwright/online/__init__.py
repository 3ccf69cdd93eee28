"""Online serving: models that roll forward day by day, with one ledger of everything that was done."""
