"""Where runs are recorded: the port, and its adapters for memory and for MLflow."""
