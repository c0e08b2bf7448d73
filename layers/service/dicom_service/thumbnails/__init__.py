"""Pictures of instances.

`thumbnailer` makes them, `cache` keeps them, `parameters` reads what a caller asks for, `response` answers it;
`representative` finds the instance that stands for a study or a series.
"""
