"""The tracking store on MLflow."""
