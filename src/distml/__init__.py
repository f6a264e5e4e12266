"""The library behind the scripts. It never imports a script."""
