"""The watchlists at rest and on their way: encrypted in SQL and in Redis, plain only in the memory of who searches.

What is at rest (store.py) needs SQL, which takes a second to import; cameras have only what is on its way (feed.py).
"""
