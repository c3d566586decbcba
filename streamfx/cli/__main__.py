"""`python -m streamfx.cli`."""

from streamfx.cli import main

main()
