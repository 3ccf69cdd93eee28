"""Workers: claiming, running and settling tasks."""
