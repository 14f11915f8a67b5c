"""The verdict: TOML and flags into what is judged, where, and whether it fails."""
