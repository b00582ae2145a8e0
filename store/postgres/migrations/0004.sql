-- Second factors.

ALTER TABLE {s}.{p}users ADD COLUMN totp boolean NOT NULL DEFAULT false;

ALTER TABLE {s}.{p}users ADD COLUMN recovered boolean NOT NULL DEFAULT false;

CREATE TABLE {s}.{p}authenticators (
	id text COLLATE "C" NOT NULL,
	user_id text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	seed bytea NOT NULL,
	algorithm text COLLATE "C" NOT NULL,
	digits bigint NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz NOT NULL,
	verified boolean NOT NULL,
	step bigint NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id)
);

CREATE UNIQUE INDEX {p}authenticators_user ON {s}.{p}authenticators (user_id, kind);

CREATE TABLE {s}.{p}challenges (
	id text COLLATE "C" NOT NULL,
	user_id text COLLATE "C" NOT NULL,
	session_id text COLLATE "C" NOT NULL,
	factor text COLLATE "C" NOT NULL,
	destination text COLLATE "C" NOT NULL,
	digest bytea,
	failures bigint NOT NULL,
	created timestamptz NOT NULL,
	expire timestamptz NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id)
);

CREATE UNIQUE INDEX {p}challenges_session ON {s}.{p}challenges (session_id, factor);

CREATE INDEX {p}challenges_user ON {s}.{p}challenges (user_id, id);

CREATE INDEX {p}challenges_expire ON {s}.{p}challenges (expire, id);

CREATE TABLE {s}.{p}recovery_codes (
	id text COLLATE "C" NOT NULL,
	user_id text COLLATE "C" NOT NULL,
	digest bytea NOT NULL,
	sealed bytea,
	created timestamptz NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id)
);

CREATE INDEX {p}recovery_codes_user ON {s}.{p}recovery_codes (user_id, id);
