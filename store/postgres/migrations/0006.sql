-- The orders of the listing of users.

CREATE INDEX {p}users_name ON {s}.{p}users (name, id);

CREATE INDEX {p}users_registered ON {s}.{p}users (registered, id);

CREATE INDEX {p}users_accessed ON {s}.{p}users (accessed, id);
