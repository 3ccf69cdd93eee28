"""Trading sessions: calendars, segments, and the arithmetic of dates."""
