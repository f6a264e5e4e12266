"""The library behind the scripts: from ingested data to answers; it never imports a script."""
