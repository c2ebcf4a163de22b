"""How good is one picture?"""
