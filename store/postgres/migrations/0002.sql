-- There is no 0001.sql: version 2 is the first that PostgreSQL had, and this file makes all its tables.
-- {s} is the namespace, {p} the prefix.

CREATE TABLE {s}.{p}addresses (
	address text COLLATE "C" NOT NULL,
	user_id text COLLATE "C" NOT NULL,
	PRIMARY KEY (address)
);

CREATE INDEX {p}addresses_user ON {s}.{p}addresses (user_id, address);

CREATE TABLE {s}.{p}users (
	id text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz NOT NULL,
	registered timestamptz NOT NULL,
	accessed timestamptz NOT NULL,
	name text COLLATE "C" NOT NULL,
	email text COLLATE "C",
	email_verified boolean NOT NULL,
	phone text COLLATE "C",
	phone_verified boolean NOT NULL,
	password bytea,
	password_updated timestamptz,
	blocked boolean NOT NULL,
	must_reset boolean NOT NULL,
	mfa boolean NOT NULL,
	epoch bigint NOT NULL,
	labels jsonb NOT NULL,
	prefs json NOT NULL,
	password_history bytea,
	PRIMARY KEY (id),
	FOREIGN KEY (email) REFERENCES {s}.{p}addresses (address)
);

CREATE UNIQUE INDEX {p}users_email ON {s}.{p}users (email NULLS FIRST);

CREATE INDEX {p}users_email_order ON {s}.{p}users (email NULLS FIRST, id);

CREATE UNIQUE INDEX {p}users_phone ON {s}.{p}users (phone NULLS FIRST);

CREATE INDEX {p}users_phone_order ON {s}.{p}users (phone NULLS FIRST, id);

CREATE INDEX {p}users_created ON {s}.{p}users (created, id);

CREATE TABLE {s}.{p}sessions (
	id text COLLATE "C" NOT NULL,
	user_id text COLLATE "C" NOT NULL,
	digest bytea NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz NOT NULL,
	expire timestamptz NOT NULL,
	provider text COLLATE "C" NOT NULL,
	provider_uid text COLLATE "C" NOT NULL,
	factors text COLLATE "C" NOT NULL,
	challenged timestamptz,
	touched timestamptz NOT NULL,
	ip text COLLATE "C" NOT NULL,
	client jsonb NOT NULL,
	user_blocked boolean NOT NULL,
	user_must_reset boolean NOT NULL,
	user_mfa boolean NOT NULL,
	user_factors text COLLATE "C" NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id)
);

CREATE UNIQUE INDEX {p}sessions_digest ON {s}.{p}sessions (digest);

CREATE INDEX {p}sessions_user ON {s}.{p}sessions (user_id, created, id);

CREATE INDEX {p}sessions_expire ON {s}.{p}sessions (expire, id);

CREATE TABLE {s}.{p}targets (
	id text COLLATE "C" NOT NULL,
	user_id text COLLATE "C" NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz NOT NULL,
	name text COLLATE "C" NOT NULL,
	provider_id text COLLATE "C",
	provider_type text COLLATE "C" NOT NULL,
	identifier text COLLATE "C" NOT NULL,
	expired boolean NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id)
);

CREATE UNIQUE INDEX {p}targets_identifier ON {s}.{p}targets (provider_type, identifier);

CREATE INDEX {p}targets_user ON {s}.{p}targets (user_id, created, id);

CREATE TABLE {s}.{p}failures (
	purpose text COLLATE "C" NOT NULL,
	subject bytea NOT NULL,
	count bigint NOT NULL,
	last timestamptz NOT NULL,
	expire timestamptz NOT NULL,
	PRIMARY KEY (purpose, subject)
);

CREATE INDEX {p}failures_expire ON {s}.{p}failures (expire, purpose, subject);

CREATE TABLE {s}.{p}logs (
	id text COLLATE "C" NOT NULL,
	user_key text COLLATE "C" NOT NULL,
	created timestamptz NOT NULL,
	event text COLLATE "C" NOT NULL,
	resource text COLLATE "C" NOT NULL,
	actor text COLLATE "C" NOT NULL,
	mode text COLLATE "C" NOT NULL,
	ip text COLLATE "C" NOT NULL,
	agent text COLLATE "C" NOT NULL,
	count bigint NOT NULL,
	reason text COLLATE "C" NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX {p}logs_user ON {s}.{p}logs (user_key, created, id);

CREATE INDEX {p}logs_created ON {s}.{p}logs (created, id);

CREATE TABLE {s}.{p}words (
	scope text COLLATE "C" NOT NULL,
	word text COLLATE "C" NOT NULL,
	row_id text COLLATE "C" NOT NULL,
	PRIMARY KEY (scope, word, row_id)
);

CREATE INDEX {p}words_row ON {s}.{p}words (scope, row_id, word);
