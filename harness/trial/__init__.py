"""One trial, from preflight to the proof that nothing was left behind."""
