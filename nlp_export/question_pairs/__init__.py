"""Document 002's experiment, by text layers: is one text a paraphrase of the other?"""
