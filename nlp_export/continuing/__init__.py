"""How does an export's masked LM go on learning, and become an export again?"""
