"""What is true: units, the column dictionary, table schemas and the check factory. Imports none of our other packages."""
