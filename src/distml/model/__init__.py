"""What a model is: its layers, the images it takes, and the files it is stored as."""
