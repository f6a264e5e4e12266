"""What each script needs: its command line, the volume and its lock, files that are never half-written, exit statuses,
progress, addresses and listening.
"""
