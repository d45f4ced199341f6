"""How does a checkpoint become one of another format, proved to compute the same?"""
