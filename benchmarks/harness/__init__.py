"""What every benchmark needs: servers as processes, load, rounds, statistics."""
