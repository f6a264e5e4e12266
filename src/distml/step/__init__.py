"""What every script needs: command line, volume and lock, atomic writes, exit statuses, progress output, addresses,
loading TensorFlow.
"""
