-- Tokens.

CREATE TABLE tokens (
	id TEXT NOT NULL,
	kind TEXT NOT NULL,
	slot TEXT NOT NULL,
	user_id TEXT,
	alias TEXT NOT NULL,
	destination TEXT NOT NULL,
	digest BLOB NOT NULL,
	length INTEGER NOT NULL,
	failures INTEGER NOT NULL,
	created INTEGER NOT NULL,
	expire INTEGER NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE UNIQUE INDEX tokens_digest ON tokens (digest);

CREATE UNIQUE INDEX tokens_slot ON tokens (kind, slot);

CREATE INDEX tokens_alias ON tokens (alias, created, id);

CREATE INDEX tokens_user ON tokens (user_id, id);

CREATE INDEX tokens_expire ON tokens (expire, id);
