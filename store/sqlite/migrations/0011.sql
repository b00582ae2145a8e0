-- Passkeys, the names of users in their authenticators, and questions to authenticators that are open.

ALTER TABLE {p}users ADD COLUMN passkeys TEXT NOT NULL DEFAULT '';

CREATE TABLE {p}passkeys (
	id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	digest BLOB NOT NULL,
	credential BLOB NOT NULL,
	key BLOB NOT NULL,
	rp_id TEXT NOT NULL,
	name TEXT NOT NULL,
	aaguid BLOB NOT NULL,
	format TEXT NOT NULL,
	transports TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	used INTEGER,
	count INTEGER NOT NULL,
	eligible INTEGER NOT NULL,
	synced INTEGER NOT NULL,
	second INTEGER NOT NULL,
	single INTEGER NOT NULL,
	session_id TEXT NOT NULL,
	cloned INTEGER,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {p}users (id)
);

CREATE UNIQUE INDEX {p}passkeys_digest ON {p}passkeys (digest);

CREATE INDEX {p}passkeys_user ON {p}passkeys (user_id, created, id);

CREATE INDEX {p}passkeys_rp ON {p}passkeys (rp_id, id);

CREATE TABLE {p}handles (
	user_id TEXT NOT NULL,
	handle BLOB NOT NULL,
	PRIMARY KEY (user_id),
	FOREIGN KEY (user_id) REFERENCES {p}users (id)
);

CREATE UNIQUE INDEX {p}handles_handle ON {p}handles (handle);

CREATE TABLE {p}ceremonies (
	id TEXT NOT NULL,
	digest BLOB NOT NULL,
	kind TEXT NOT NULL,
	user_id TEXT,
	session_id TEXT NOT NULL,
	share INTEGER NOT NULL,
	network BLOB NOT NULL,
	sealed BLOB NOT NULL,
	created INTEGER NOT NULL,
	expire INTEGER NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {p}users (id)
);

CREATE UNIQUE INDEX {p}ceremonies_digest ON {p}ceremonies (digest);

CREATE INDEX {p}ceremonies_share ON {p}ceremonies (share, created, id);

CREATE INDEX {p}ceremonies_user ON {p}ceremonies (user_id, id);

CREATE INDEX {p}ceremonies_expire ON {p}ceremonies (expire, id);
