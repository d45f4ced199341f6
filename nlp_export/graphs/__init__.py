"""How is a frozen graph read and written again, so that it computes the same, faster or safely?"""
