"""How is a pre-training run written to disk, and how does it go on from there?"""
