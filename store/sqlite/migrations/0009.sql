-- Identities at other services, and sign-ins by them that have begun.

ALTER TABLE {p}users ADD COLUMN providers TEXT NOT NULL DEFAULT '';

ALTER TABLE {p}sessions ADD COLUMN identity TEXT NOT NULL DEFAULT '';

CREATE TABLE {p}identities (
	id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	provider TEXT NOT NULL,
	issuer TEXT NOT NULL,
	subject TEXT NOT NULL,
	email TEXT,
	reserved TEXT,
	name TEXT NOT NULL,
	access BLOB,
	refresh BLOB,
	expire INTEGER,
	renewing INTEGER,
	pending TEXT NOT NULL,
	found INTEGER NOT NULL,
	single INTEGER NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {p}users (id),
	FOREIGN KEY (reserved) REFERENCES {p}addresses (address)
);

CREATE UNIQUE INDEX {p}identities_subject ON {p}identities (provider, issuer, subject);

CREATE INDEX {p}identities_user ON {p}identities (user_id, created, id);

CREATE INDEX {p}identities_created ON {p}identities (created, id);

CREATE INDEX {p}identities_reserved ON {p}identities (reserved, id);

CREATE TABLE {p}starts (
	id TEXT NOT NULL,
	digest BLOB NOT NULL,
	share INTEGER NOT NULL,
	network BLOB NOT NULL,
	provider TEXT NOT NULL,
	issuer TEXT NOT NULL,
	redirect TEXT NOT NULL,
	sealed BLOB NOT NULL,
	token INTEGER NOT NULL,
	binding BLOB,
	session_id TEXT NOT NULL,
	success TEXT NOT NULL,
	failure TEXT NOT NULL,
	created INTEGER NOT NULL,
	expire INTEGER NOT NULL,
	posted BLOB,
	PRIMARY KEY (id)
);

CREATE UNIQUE INDEX {p}starts_digest ON {p}starts (digest);

CREATE INDEX {p}starts_share ON {p}starts (share, created, id);

CREATE INDEX {p}starts_expire ON {p}starts (expire, id);
