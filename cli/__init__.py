"""The command line: `pouw` and its groups. Thin: each command reads options, calls, prints."""
