-- Messages and events that wait in the outbox, or were given up.

CREATE TABLE {p}outbox (
	id TEXT NOT NULL,
	lane TEXT NOT NULL,
	stream TEXT,
	position INTEGER NOT NULL,
	kind TEXT NOT NULL,
	user_id TEXT NOT NULL,
	created INTEGER NOT NULL,
	queued INTEGER NOT NULL,
	due INTEGER,
	leased INTEGER NOT NULL,
	tries INTEGER NOT NULL,
	failures INTEGER NOT NULL,
	cause TEXT NOT NULL,
	given_up INTEGER,
	expire INTEGER,
	sealed BLOB NOT NULL,
	counted INTEGER NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX {p}outbox_due ON {p}outbox (lane, due, id);

CREATE INDEX {p}outbox_stream ON {p}outbox (lane, stream, position, id);

CREATE INDEX {p}outbox_given_up ON {p}outbox (given_up, id);
