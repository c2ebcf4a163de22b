"""Which networks?"""
