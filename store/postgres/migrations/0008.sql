-- Teams and their members, and codes of challenges that the host brings to the user.

ALTER TABLE {s}.{p}users ADD COLUMN memberships bigint NOT NULL DEFAULT 0;

ALTER TABLE {s}.{p}challenges ADD COLUMN sealed bytea;

CREATE TABLE {s}.{p}teams (
	id text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz NOT NULL,
	name text COLLATE "C" NOT NULL,
	prefs json NOT NULL,
	total bigint NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX {p}teams_created ON {s}.{p}teams (created, id);

CREATE INDEX {p}teams_name ON {s}.{p}teams (name, id);

CREATE TABLE {s}.{p}memberships (
	id text COLLATE "C" NOT NULL,
	team_id text COLLATE "C" NOT NULL,
	user_id text COLLATE "C" NOT NULL,
	user_key text COLLATE "C" NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz NOT NULL,
	invited timestamptz NOT NULL,
	joined timestamptz NOT NULL,
	owner boolean NOT NULL,
	roles jsonb NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (team_id) REFERENCES {s}.{p}teams (id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id)
);

CREATE UNIQUE INDEX {p}memberships_member ON {s}.{p}memberships (team_id, user_id);

CREATE INDEX {p}memberships_team ON {s}.{p}memberships (team_id, created, id);

CREATE INDEX {p}memberships_owner ON {s}.{p}memberships (team_id, owner, joined, id);

CREATE INDEX {p}memberships_user ON {s}.{p}memberships (user_id, created, id);
