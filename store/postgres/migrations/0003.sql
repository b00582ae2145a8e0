-- Tokens.

CREATE TABLE {s}.{p}tokens (
	id text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	slot text COLLATE "C" NOT NULL,
	user_id text COLLATE "C",
	alias text COLLATE "C" NOT NULL,
	destination text COLLATE "C" NOT NULL,
	digest bytea NOT NULL,
	length bigint NOT NULL,
	failures bigint NOT NULL,
	created timestamptz NOT NULL,
	expire timestamptz NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id)
);

CREATE UNIQUE INDEX {p}tokens_digest ON {s}.{p}tokens (digest);

CREATE UNIQUE INDEX {p}tokens_slot ON {s}.{p}tokens (kind, slot);

CREATE INDEX {p}tokens_alias ON {s}.{p}tokens (alias, created, id);

CREATE INDEX {p}tokens_user ON {s}.{p}tokens (user_id NULLS FIRST, id);

CREATE INDEX {p}tokens_expire ON {s}.{p}tokens (expire, id);
