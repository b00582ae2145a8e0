-- Passkeys, the names of users in their authenticators, and questions to authenticators that are open.

ALTER TABLE {s}.{p}schema_v10 RENAME TO {p}schema_v11;

ALTER TABLE {s}.{p}users ADD COLUMN passkeys text COLLATE "C" NOT NULL DEFAULT '';

CREATE TABLE {s}.{p}passkeys (
	id text COLLATE "C" NOT NULL,
	user_id text COLLATE "C" NOT NULL,
	digest bytea NOT NULL,
	credential bytea NOT NULL,
	key bytea NOT NULL,
	rp_id text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	aaguid bytea NOT NULL,
	format text COLLATE "C" NOT NULL,
	transports text COLLATE "C" NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz NOT NULL,
	used timestamptz,
	count bigint NOT NULL,
	eligible boolean NOT NULL,
	synced boolean NOT NULL,
	second boolean NOT NULL,
	single boolean NOT NULL,
	session_id text COLLATE "C" NOT NULL,
	cloned timestamptz,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id) DEFERRABLE INITIALLY IMMEDIATE
);

CREATE UNIQUE INDEX {p}passkeys_digest ON {s}.{p}passkeys (digest);

CREATE INDEX {p}passkeys_user ON {s}.{p}passkeys (user_id, created, id);

CREATE INDEX {p}passkeys_rp ON {s}.{p}passkeys (rp_id, id);

CREATE TABLE {s}.{p}handles (
	user_id text COLLATE "C" NOT NULL,
	handle bytea NOT NULL,
	PRIMARY KEY (user_id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id) DEFERRABLE INITIALLY IMMEDIATE
);

CREATE UNIQUE INDEX {p}handles_handle ON {s}.{p}handles (handle);

CREATE TABLE {s}.{p}ceremonies (
	id text COLLATE "C" NOT NULL,
	digest bytea NOT NULL,
	kind text COLLATE "C" NOT NULL,
	user_id text COLLATE "C",
	session_id text COLLATE "C" NOT NULL,
	share bigint NOT NULL,
	network bytea NOT NULL,
	sealed bytea NOT NULL,
	created timestamptz NOT NULL,
	expire timestamptz NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id) DEFERRABLE INITIALLY IMMEDIATE
);

CREATE UNIQUE INDEX {p}ceremonies_digest ON {s}.{p}ceremonies (digest);

CREATE INDEX {p}ceremonies_share ON {s}.{p}ceremonies (share, created, id);

CREATE INDEX {p}ceremonies_user ON {s}.{p}ceremonies (user_id NULLS FIRST, id);

CREATE INDEX {p}ceremonies_expire ON {s}.{p}ceremonies (expire, id);
