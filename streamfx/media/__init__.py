"""Recorded video and pictures: reading, writing, and what is in a file."""
