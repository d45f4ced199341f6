"""Which text is there to train on: somebody's files, or what every Python brings along?"""
