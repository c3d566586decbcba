"""The live server: signalling, sessions, the HTTP API, metrics and the studio's files."""
