-- The tables of the first version. Times are microseconds since 1970 in UTC.

CREATE TABLE addresses (
	address TEXT NOT NULL,
	user_id TEXT NOT NULL,
	PRIMARY KEY (address)
);

CREATE INDEX addresses_user ON addresses (user_id, address);

CREATE TABLE users (
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
	FOREIGN KEY (email) REFERENCES addresses (address)
);

CREATE UNIQUE INDEX users_email ON users (email);

CREATE INDEX users_email_order ON users (email, id);

CREATE UNIQUE INDEX users_phone ON users (phone);

CREATE INDEX users_phone_order ON users (phone, id);

CREATE INDEX users_created ON users (created, id);

CREATE TABLE sessions (
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
	FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE UNIQUE INDEX sessions_digest ON sessions (digest);

CREATE INDEX sessions_user ON sessions (user_id, created, id);

CREATE INDEX sessions_expire ON sessions (expire, id);

CREATE TABLE targets (
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
	FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE UNIQUE INDEX targets_identifier ON targets (provider_type, identifier);

CREATE INDEX targets_user ON targets (user_id, created, id);

CREATE TABLE failures (
	purpose TEXT NOT NULL,
	subject BLOB NOT NULL,
	count INTEGER NOT NULL,
	last INTEGER NOT NULL,
	expire INTEGER NOT NULL,
	PRIMARY KEY (purpose, subject)
);

CREATE INDEX failures_expire ON failures (expire, purpose, subject);

CREATE TABLE logs (
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

CREATE INDEX logs_user ON logs (user_key, created, id);

CREATE INDEX logs_created ON logs (created, id);

CREATE TABLE words (
	scope TEXT NOT NULL,
	word TEXT NOT NULL,
	row_id TEXT NOT NULL,
	PRIMARY KEY (scope, word, row_id)
);

CREATE INDEX words_row ON words (scope, row_id, word);
