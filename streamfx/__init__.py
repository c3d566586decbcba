"""StreamFX turns video into a moving painting."""
