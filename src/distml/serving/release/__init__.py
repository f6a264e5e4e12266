"""The published version that answers: loading it, and watching for a newer one."""
