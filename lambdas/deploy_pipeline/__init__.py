"""Deploy what a pipeline brings, by a state machine that looks at the changes first."""
