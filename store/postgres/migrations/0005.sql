-- What a session was made with and since when it owes a factor, what its JWTs carry,
-- and the settings of the store.

ALTER TABLE {s}.{p}users ADD COLUMN password_epoch bigint NOT NULL DEFAULT 0;

ALTER TABLE {s}.{p}users ADD COLUMN recovery_codes boolean NOT NULL DEFAULT false;

ALTER TABLE {s}.{p}users ADD COLUMN unclaimed boolean NOT NULL DEFAULT false;

ALTER TABLE {s}.{p}sessions ADD COLUMN user_password_epoch bigint NOT NULL DEFAULT 0;

ALTER TABLE {s}.{p}sessions ADD COLUMN owing timestamptz;

ALTER TABLE {s}.{p}sessions ADD COLUMN password_epoch bigint NOT NULL DEFAULT 0;

ALTER TABLE {s}.{p}sessions ADD COLUMN strong timestamptz;

ALTER TABLE {s}.{p}tokens ADD COLUMN drawn boolean NOT NULL DEFAULT false;

CREATE TABLE {s}.{p}settings (
	name text COLLATE "C" NOT NULL,
	value bytea NOT NULL,
	PRIMARY KEY (name)
);
