-- What a session was made with and since when it owes a factor, what its JWTs carry,
-- and the settings of the store.

ALTER TABLE {p}users ADD COLUMN password_epoch INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}users ADD COLUMN recovery_codes INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}users ADD COLUMN unclaimed INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}sessions ADD COLUMN user_password_epoch INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}sessions ADD COLUMN owing INTEGER;

ALTER TABLE {p}sessions ADD COLUMN password_epoch INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}sessions ADD COLUMN strong INTEGER;

ALTER TABLE {p}tokens ADD COLUMN drawn INTEGER NOT NULL DEFAULT 0;

CREATE TABLE {p}settings (
	name TEXT NOT NULL,
	value BLOB NOT NULL,
	PRIMARY KEY (name)
);
