"""The adapters of the port `rollwright.pool.store.TaskStore`."""
