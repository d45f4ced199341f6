"""How does a text file of any size become vectors, by one process or several?"""
