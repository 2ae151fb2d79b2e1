"""Data sets: image databases (imdb), their loaders, the proposal files and the PASCAL evaluation."""
