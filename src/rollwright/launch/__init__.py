"""Starting workers elsewhere, by the engines that people have: this machine, Slurm, Kubernetes, Ray."""
