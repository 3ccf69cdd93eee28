"""The tracking store on MLflow's embedded database, without MLflow."""
