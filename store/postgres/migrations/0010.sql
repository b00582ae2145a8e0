-- Changes of addresses by proof, lengths of sessions, and passwords that are shown again.

ALTER TABLE {s}.{p}users ADD COLUMN undo timestamptz;

ALTER TABLE {s}.{p}users ADD COLUMN email_proven timestamptz;

ALTER TABLE {s}.{p}users ADD COLUMN phone_proven timestamptz;

ALTER TABLE {s}.{p}sessions ADD COLUMN length bigint NOT NULL DEFAULT 0;

ALTER TABLE {s}.{p}sessions ADD COLUMN confirmed timestamptz;

ALTER TABLE {s}.{p}tokens ADD COLUMN admitted boolean NOT NULL DEFAULT false;

ALTER TABLE {s}.{p}tokens ADD COLUMN beside text COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE {s}.{p}tokens ADD COLUMN session_length bigint NOT NULL DEFAULT 0;
