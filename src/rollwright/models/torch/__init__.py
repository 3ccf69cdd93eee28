"""Networks of PyTorch behind the models' port; importing this package does not import PyTorch."""
