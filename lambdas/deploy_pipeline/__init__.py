"""Deploy the artifact of a pipeline with a state machine that inspects the changes first."""
