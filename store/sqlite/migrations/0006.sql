-- The orders of the listing of users.

CREATE INDEX {p}users_name ON {p}users (name, id);

CREATE INDEX {p}users_registered ON {p}users (registered, id);

CREATE INDEX {p}users_accessed ON {p}users (accessed, id);
