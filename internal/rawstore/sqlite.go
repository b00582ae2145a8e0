package rawstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver
)

const sqliteTables = `
CREATE TABLE users (id TEXT NOT NULL PRIMARY KEY);
CREATE TABLE sessions (id TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id), digest BLOB NOT NULL,
	created INTEGER NOT NULL, updated INTEGER NOT NULL, expire INTEGER NOT NULL, provider TEXT NOT NULL,
	provider_uid TEXT NOT NULL, factors TEXT NOT NULL, challenged INTEGER, touched INTEGER NOT NULL, ip TEXT NOT NULL,
	client TEXT NOT NULL, user_blocked INTEGER NOT NULL, user_must_reset INTEGER NOT NULL, user_mfa INTEGER NOT NULL,
	user_factors TEXT NOT NULL, user_password_epoch INTEGER NOT NULL, owing INTEGER, password_epoch INTEGER NOT NULL, strong INTEGER, targets INTEGER NOT NULL, assumed TEXT NOT NULL, identity TEXT NOT NULL, length INTEGER NOT NULL, confirmed INTEGER);
CREATE UNIQUE INDEX sessions_digest ON sessions (digest);
CREATE INDEX sessions_user ON sessions (user_id, created, id);
CREATE INDEX sessions_expire ON sessions (expire, id);
CREATE TABLE logs (id TEXT NOT NULL PRIMARY KEY, user_key TEXT NOT NULL, created INTEGER NOT NULL, event TEXT NOT NULL,
	resource TEXT NOT NULL, actor TEXT NOT NULL, mode TEXT NOT NULL, ip TEXT NOT NULL, agent TEXT NOT NULL,
	count INTEGER NOT NULL, reason TEXT NOT NULL, stranger INTEGER NOT NULL);
CREATE INDEX logs_user ON logs (user_key, created, id);
CREATE INDEX logs_created ON logs (created, id);`

const sessionColumns = "id, user_id, digest, created, updated, expire, provider, provider_uid, factors, challenged, touched, ip, client, user_blocked, user_must_reset, user_mfa, user_factors, user_password_epoch, owing, password_epoch, strong, targets, assumed, identity, length, confirmed"

// SQLite keeps sessions and logs in the same tables as the store, with the
// same settings.
type SQLite struct {
	reads, writes                                  *sql.DB
	conn                                           *sql.Conn
	get, page                                      *sql.Stmt
	begin, commit, insertSession, insertLog, count *sql.Stmt
	users                                          int
	group                                          *group
}

// OpenSQLite creates a file with n sessions.
func OpenSQLite(path string, n int) (*SQLite, error) {
	const settings = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=secure_delete(1)" +
		"&_pragma=mmap_size(1073741824)&_pragma=cache_size(-16384)"
	ctx := context.Background()
	s := &SQLite{users: Users(n)}
	var err error
	if s.writes, err = sql.Open("sqlite", path+settings); err != nil {
		return nil, err
	}
	if _, err = s.writes.Exec(sqliteTables); err != nil {
		return nil, err
	}
	if s.conn, err = s.writes.Conn(ctx); err != nil {
		return nil, err
	}
	for text, stmt := range map[string]**sql.Stmt{
		"BEGIN IMMEDIATE": &s.begin,
		"COMMIT":          &s.commit,
		"INSERT INTO sessions (" + sessionColumns + ") VALUES (?" + strings.Repeat(", ?", 25) + ")": &s.insertSession,
		"INSERT INTO logs VALUES (?" + strings.Repeat(", ?", 11) + ")":                              &s.insertLog,
		"SELECT count(*) FROM sessions WHERE user_id = ?":                                           &s.count,
	} {
		if *stmt, err = s.conn.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
	}
	if s.reads, err = sql.Open("sqlite", path+settings); err != nil {
		return nil, err
	}
	s.reads.SetMaxOpenConns(4)
	s.reads.SetMaxIdleConns(4)
	if s.get, err = s.reads.Prepare("SELECT " + sessionColumns + " FROM sessions WHERE digest = ?"); err != nil {
		return nil, err
	}
	if s.page, err = s.reads.Prepare("SELECT * FROM logs WHERE (created, id) > (?, ?) ORDER BY created, id LIMIT 25"); err != nil {
		return nil, err
	}
	if err := s.fill(ctx, n); err != nil {
		return nil, err
	}
	s.group = newGroup(s.runGroup)
	return s, nil
}

func (s *SQLite) fill(ctx context.Context, n int) error {
	if err := s.exec(ctx, s.begin); err != nil {
		return err
	}
	for i := range s.users {
		if _, err := s.conn.ExecContext(ctx, "INSERT INTO users VALUES (?)", UserID(i)); err != nil {
			return err
		}
	}
	for i := range n {
		if i%5000 == 4999 {
			if err := errors.Join(s.exec(ctx, s.commit), s.exec(ctx, s.begin)); err != nil {
				return err
			}
		}
		if err := s.insert(ctx, i); err != nil {
			return err
		}
	}
	return s.exec(ctx, s.commit)
}

// Close closes the file.
func (s *SQLite) Close() error {
	close(s.group.wake)
	return errors.Join(s.get.Close(), s.page.Close(), s.reads.Close(), s.begin.Close(), s.commit.Close(), s.insertSession.Close(),
		s.insertLog.Close(), s.count.Close(), s.conn.Close(), s.writes.Close())
}

func (s *SQLite) exec(ctx context.Context, stmt *sql.Stmt) error {
	_, err := stmt.ExecContext(ctx)
	return err
}

// Get returns a session.
func (s *SQLite) Get(ctx context.Context, digest [32]byte) (*Session, error) {
	x := new(Session)
	var created, updated, expire, touched int64
	var challenged, owing, strong, confirmed sql.NullInt64
	err := s.get.QueryRowContext(ctx, digest[:]).Scan(&x.ID, &x.UserID, &x.Digest, &created, &updated, &expire, &x.Provider,
		&x.ProviderUID, &x.Factors, &challenged, &touched, &x.IP, &x.Client, &x.UserBlocked, &x.UserMustReset, &x.UserMFA, &x.UserFactors,
		&x.UserPasswordEpoch, &owing, &x.PasswordEpoch, &strong, &x.Targets, &x.Assumed, &x.Identity, &x.Length, &confirmed)
	x.Created, x.Updated, x.Expire = time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC(), time.UnixMicro(expire).UTC()
	x.Touched = time.UnixMicro(touched).UTC()
	x.Challenged, x.Owing, x.Strong, x.Confirmed = orZero(challenged), orZero(owing), orZero(strong), orZero(confirmed)
	return x, err
}

func orZero(micros sql.NullInt64) time.Time {
	if !micros.Valid {
		return time.Time{}
	}
	return time.UnixMicro(micros.Int64).UTC()
}

func (s *SQLite) insert(ctx context.Context, n int) error {
	x, l := NewSession(n, s.users), NewLog(n, s.users)
	_, err := s.insertSession.ExecContext(ctx, x.ID, x.UserID, []byte(x.Digest), x.Created.UnixMicro(), x.Updated.UnixMicro(), x.Expire.UnixMicro(),
		x.Provider, x.ProviderUID, x.Factors, nil, x.Touched.UnixMicro(), x.IP, x.Client, x.UserBlocked, x.UserMustReset, x.UserMFA, x.UserFactors,
		x.UserPasswordEpoch, nil, x.PasswordEpoch, nil, x.Targets, x.Assumed, x.Identity, x.Length, nil)
	if err != nil {
		return err
	}
	_, err = s.insertLog.ExecContext(ctx, l.ID, l.UserKey, l.Created.UnixMicro(), l.Event, l.Resource, l.Actor, l.Mode, l.IP, l.Agent, l.Count, l.Reason, l.Stranger)
	return err
}

// Page returns the 25 logs after the n-th, by time.
func (s *SQLite) Page(ctx context.Context, n int) (logs []*Log, err error) {
	after := NewLog(n, s.users)
	rows, err := s.page.QueryContext(ctx, after.Created.UnixMicro(), after.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		l := new(Log)
		var created int64
		if err := rows.Scan(&l.ID, &l.UserKey, &created, &l.Event, &l.Resource, &l.Actor, &l.Mode, &l.IP, &l.Agent, &l.Count, &l.Reason, &l.Stranger); err != nil {
			return nil, err
		}
		l.Created = time.UnixMicro(created).UTC()
		logs = append(logs, l)
	}
	return logs, rows.Err()
}

// Sweep deletes all sessions by their expiry, 500 at a time.
func (s *SQLite) Sweep() error {
	const text = "DELETE FROM sessions WHERE rowid IN (SELECT rowid FROM sessions WHERE expire < 9223372036854775807 ORDER BY expire LIMIT 500)"
	ctx := context.Background()
	sweep, err := s.conn.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer sweep.Close()
	for {
		result, err := sweep.ExecContext(ctx)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n < 500 {
			return err
		}
	}
}

func (s *SQLite) insertAndCount(ctx context.Context, n int) error {
	if err := s.insert(ctx, n); err != nil {
		return err
	}
	var found int
	return s.count.QueryRowContext(ctx, UserID(n%s.users)).Scan(&found)
}

// Write inserts the n-th session and its log row and counts the user's
// sessions, in one transaction. It is for one goroutine.
func (s *SQLite) Write(n int) error {
	ctx := context.Background()
	return errors.Join(s.exec(ctx, s.begin), s.insertAndCount(ctx, n), s.exec(ctx, s.commit))
}

// GroupWrite does the same, and shares a commit with other writers.
func (s *SQLite) GroupWrite(n int) error { return s.group.do(n) }

func (s *SQLite) runGroup(jobs []*job) {
	ctx := context.Background()
	err := s.exec(ctx, s.begin)
	for _, j := range jobs {
		err = errors.Join(err, s.insertAndCount(ctx, j.n))
	}
	err = errors.Join(err, s.exec(ctx, s.commit))
	for _, j := range jobs {
		j.done <- err
	}
}
