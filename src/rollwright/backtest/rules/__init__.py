"""Rules of exchanges by board and date: lots, duties, price limits; each row names its source."""
