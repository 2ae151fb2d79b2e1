"""Reads the exports of labelling tools: one file per format, and what all of them share."""
