"""Pages and programs of the network: thin, as the command line is; what they show comes from `rollwright.app`."""
