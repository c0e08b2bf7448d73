"""Pictures of instances: `thumbnailer` makes them, `cache` keeps them, `response` is what a caller gets.

`representative` finds the instance that stands for a study or a series.
"""
