-- The orders of the listing of users.

CREATE INDEX users_name ON users (name, id);

CREATE INDEX users_registered ON users (registered, id);

CREATE INDEX users_accessed ON users (accessed, id);
