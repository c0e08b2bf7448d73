"""The calls that the functions' roles made during the tests, compared with what the roles may do."""
