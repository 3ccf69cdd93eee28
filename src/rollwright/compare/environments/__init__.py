"""Environments of models: what they are asked for, their locks, and making them whole or not at all."""
