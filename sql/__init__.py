"""How rows are read and written where Django's own way takes longer than the database: the bottom of everything."""
