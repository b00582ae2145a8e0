-- An addition to version 10: programs that do not know it go on. The name of this table says the version. A
-- program that knows it begins each transaction with a lock on it, which fails if the tables have another
-- version. A later version begins with its own name for it.

CREATE TABLE {s}.{p}schema_v10 ();
