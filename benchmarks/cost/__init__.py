"""What an exam costs on AWS: the requests of the real flows, counted in process, times a dated list of prices."""
