-- Identities at other services, and sign-ins by them that have begun.

ALTER TABLE users ADD COLUMN providers TEXT NOT NULL DEFAULT '';

ALTER TABLE sessions ADD COLUMN identity TEXT NOT NULL DEFAULT '';

CREATE TABLE identities (
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
	FOREIGN KEY (user_id) REFERENCES users (id),
	FOREIGN KEY (reserved) REFERENCES addresses (address)
);

CREATE UNIQUE INDEX identities_subject ON identities (provider, issuer, subject);

CREATE INDEX identities_user ON identities (user_id, created, id);

CREATE INDEX identities_created ON identities (created, id);

CREATE INDEX identities_reserved ON identities (reserved, id);

CREATE TABLE starts (
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

CREATE UNIQUE INDEX starts_digest ON starts (digest);

CREATE INDEX starts_share ON starts (share, created, id);

CREATE INDEX starts_expire ON starts (expire, id);
