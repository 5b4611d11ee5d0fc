"""`mdtool record` as a service: recorders in processes of their own, what they say of themselves, how they are told."""
