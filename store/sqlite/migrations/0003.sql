-- Tokens.

CREATE TABLE {p}tokens (
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
	FOREIGN KEY (user_id) REFERENCES {p}users (id)
);

CREATE UNIQUE INDEX {p}tokens_digest ON {p}tokens (digest);

CREATE UNIQUE INDEX {p}tokens_slot ON {p}tokens (kind, slot);

CREATE INDEX {p}tokens_alias ON {p}tokens (alias, created, id);

CREATE INDEX {p}tokens_user ON {p}tokens (user_id, id);

CREATE INDEX {p}tokens_expire ON {p}tokens (expire, id);
