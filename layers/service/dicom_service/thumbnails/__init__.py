"""Pictures of instances.

`thumbnailer` makes them, `cache` keeps them, `response` reads what a caller asks for and answers it; `representative`
finds the instance that stands for a study or a series.
"""
