-- Messages and events that wait in the outbox, or were given up.

ALTER TABLE {s}.{p}schema_v11 RENAME TO {p}schema_v12;

CREATE TABLE {s}.{p}outbox (
	id text COLLATE "C" NOT NULL,
	lane text COLLATE "C" NOT NULL,
	stream text COLLATE "C",
	position bigint NOT NULL,
	kind text COLLATE "C" NOT NULL,
	user_id text COLLATE "C" NOT NULL,
	created timestamptz NOT NULL,
	queued timestamptz NOT NULL,
	due timestamptz,
	leased boolean NOT NULL,
	tries bigint NOT NULL,
	failures bigint NOT NULL,
	cause text COLLATE "C" NOT NULL,
	given_up timestamptz,
	expire timestamptz,
	sealed bytea NOT NULL,
	counted boolean NOT NULL,
	PRIMARY KEY (id)
);

CREATE SEQUENCE {s}.{p}outbox_stream_number;

CREATE INDEX {p}outbox_due ON {s}.{p}outbox (lane, due NULLS FIRST, id);

CREATE INDEX {p}outbox_stream ON {s}.{p}outbox (lane, stream NULLS FIRST, position, id);

CREATE INDEX {p}outbox_given_up ON {s}.{p}outbox (given_up NULLS FIRST, id);
