-- Identities at other services, and sign-ins by them that have begun.

ALTER TABLE {s}.{p}users ADD COLUMN providers text COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE {s}.{p}sessions ADD COLUMN identity text COLLATE "C" NOT NULL DEFAULT '';

CREATE TABLE {s}.{p}identities (
	id text COLLATE "C" NOT NULL,
	user_id text COLLATE "C" NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz NOT NULL,
	provider text COLLATE "C" NOT NULL,
	issuer text COLLATE "C" NOT NULL,
	subject text COLLATE "C" NOT NULL,
	email text COLLATE "C",
	reserved text COLLATE "C",
	name text COLLATE "C" NOT NULL,
	access bytea,
	refresh bytea,
	expire timestamptz,
	renewing timestamptz,
	pending text COLLATE "C" NOT NULL,
	found boolean NOT NULL,
	single boolean NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id),
	FOREIGN KEY (reserved) REFERENCES {s}.{p}addresses (address)
);

CREATE UNIQUE INDEX {p}identities_subject ON {s}.{p}identities (provider, issuer, subject);

CREATE INDEX {p}identities_user ON {s}.{p}identities (user_id, created, id);

CREATE INDEX {p}identities_created ON {s}.{p}identities (created, id);

CREATE INDEX {p}identities_reserved ON {s}.{p}identities (reserved NULLS FIRST, id);

CREATE TABLE {s}.{p}starts (
	id text COLLATE "C" NOT NULL,
	digest bytea NOT NULL,
	share bigint NOT NULL,
	network bytea NOT NULL,
	provider text COLLATE "C" NOT NULL,
	issuer text COLLATE "C" NOT NULL,
	redirect text COLLATE "C" NOT NULL,
	sealed bytea NOT NULL,
	token boolean NOT NULL,
	binding bytea,
	session_id text COLLATE "C" NOT NULL,
	success text COLLATE "C" NOT NULL,
	failure text COLLATE "C" NOT NULL,
	created timestamptz NOT NULL,
	expire timestamptz NOT NULL,
	posted bytea,
	PRIMARY KEY (id)
);

CREATE UNIQUE INDEX {p}starts_digest ON {s}.{p}starts (digest);

CREATE INDEX {p}starts_share ON {s}.{p}starts (share, created, id);

CREATE INDEX {p}starts_expire ON {s}.{p}starts (expire, id);
