-- The tables of the first version. Times are microseconds since 1970 in UTC.

CREATE TABLE {p}addresses (
	address TEXT NOT NULL,
	user_id TEXT NOT NULL,
	PRIMARY KEY (address)
);

CREATE INDEX {p}addresses_user ON {p}addresses (user_id, address);

CREATE TABLE {p}users (
	id TEXT NOT NULL,
	key TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	registered INTEGER NOT NULL,
	accessed INTEGER NOT NULL,
	name TEXT NOT NULL,
	email TEXT,
	email_verified INTEGER NOT NULL,
	phone TEXT,
	phone_verified INTEGER NOT NULL,
	password BLOB,
	password_updated INTEGER,
	blocked INTEGER NOT NULL,
	must_reset INTEGER NOT NULL,
	mfa INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	labels TEXT NOT NULL,
	prefs TEXT NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (email) REFERENCES {p}addresses (address)
);

CREATE UNIQUE INDEX {p}users_email ON {p}users (email);

CREATE INDEX {p}users_email_order ON {p}users (email, id);

CREATE UNIQUE INDEX {p}users_phone ON {p}users (phone);

CREATE INDEX {p}users_phone_order ON {p}users (phone, id);

CREATE INDEX {p}users_created ON {p}users (created, id);

CREATE TABLE {p}sessions (
	id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	digest BLOB NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	expire INTEGER NOT NULL,
	provider TEXT NOT NULL,
	provider_uid TEXT NOT NULL,
	factors TEXT NOT NULL,
	challenged INTEGER,
	touched INTEGER NOT NULL,
	ip TEXT NOT NULL,
	client TEXT NOT NULL,
	user_blocked INTEGER NOT NULL,
	user_must_reset INTEGER NOT NULL,
	user_mfa INTEGER NOT NULL,
	user_factors TEXT NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {p}users (id)
);

CREATE UNIQUE INDEX {p}sessions_digest ON {p}sessions (digest);

CREATE INDEX {p}sessions_user ON {p}sessions (user_id, created, id);

CREATE INDEX {p}sessions_expire ON {p}sessions (expire, id);

CREATE TABLE {p}targets (
	id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	name TEXT NOT NULL,
	provider_id TEXT,
	provider_type TEXT NOT NULL,
	identifier TEXT NOT NULL,
	expired INTEGER NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {p}users (id)
);

CREATE UNIQUE INDEX {p}targets_identifier ON {p}targets (provider_type, identifier);

CREATE INDEX {p}targets_user ON {p}targets (user_id, created, id);

CREATE TABLE {p}failures (
	purpose TEXT NOT NULL,
	subject BLOB NOT NULL,
	count INTEGER NOT NULL,
	last INTEGER NOT NULL,
	expire INTEGER NOT NULL,
	PRIMARY KEY (purpose, subject)
);

CREATE INDEX {p}failures_expire ON {p}failures (expire, purpose, subject);

CREATE TABLE {p}logs (
	id TEXT NOT NULL,
	user_key TEXT NOT NULL,
	created INTEGER NOT NULL,
	event TEXT NOT NULL,
	resource TEXT NOT NULL,
	actor TEXT NOT NULL,
	mode TEXT NOT NULL,
	ip TEXT NOT NULL,
	agent TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX {p}logs_user ON {p}logs (user_key, created, id);

CREATE INDEX {p}logs_created ON {p}logs (created, id);

CREATE TABLE {p}words (
	scope TEXT NOT NULL,
	word TEXT NOT NULL,
	row_id TEXT NOT NULL,
	PRIMARY KEY (scope, word, row_id)
);

CREATE INDEX {p}words_row ON {p}words (scope, row_id, word);
