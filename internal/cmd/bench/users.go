package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/rawstore"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/sqlite"
)

// usersCases measures listings, searches and profiles, with -rows users. The limits read the
// file of the engine's own store with database/sql.
func usersCases(dir string) error {
	return errors.Join(onSQLite(dir, "users", usersOn), profilesOn("memory", memory.Open()), profilesOnBolt(dir))
}

// onSQLite runs a part on a new file, with the engine's store and with database/sql.
func onSQLite(dir, name string, part func(s store.Store, db *sql.DB) error) error {
	path := filepath.Join(dir, name+".db")
	s, err := sqlite.OpenWith(path, sqlite.Options{MayLoseLastCommitsOnPowerLoss: true})
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=query_only(1)&_pragma=mmap_size(1073741824)&_pragma=cache_size(-16384)")
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return errors.Join(part(s, db), db.Close(), s.Close())
}

// listed returns the n-th user of a listing. One in ten is blocked, and ten in all are needles.
func listed(n int) *record.User {
	at := rawstore.Began.Add(time.Duration(n) * time.Second)
	u := &record.User{
		ID: rawstore.UserID(n), Key: fmt.Sprintf("key0%012d", n), Created: at, Updated: at, Registered: at, Accessed: at,
		Name: fmt.Sprintf("Person %09d", n), Phone: fmt.Sprintf("+1%010d", n), Blocked: n%10 == 0, Labels: "[]", Prefs: `{"theme":"dark"}`,
	}
	u.Targets = fmt.Sprintf(`[{"id":"target%012d","created":%d,"updated":%d,"name":"","provider":"","type":"sms","identifier":%q,"expired":0}]`,
		n, at.UnixMicro(), at.UnixMicro(), u.Phone)
	return u
}

func fillUsers(s store.Store) error {
	for at := 0; at < *rows; at += 5000 {
		err := s.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
			for n := at; n < min(*rows, at+5000); n++ {
				if err := record.Users.Insert(ctx, tx, listed(n)); err != nil {
					return err
				}
				word := fmt.Sprintf("person%d", n)
				if n%(*rows/10) == 7 {
					word = fmt.Sprintf("needle%d", n)
				}
				if err := record.Words.Insert(ctx, tx, &record.Word{Scope: "users", Word: word, RowID: rawstore.UserID(n)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scan reads all columns of users.
func scan(rows *sql.Rows, err error, want int) error {
	return read(rows, err, len(record.Users.Columns()), want)
}

func usersOn(s store.Store, db *sql.DB) error {
	if err := fillUsers(s); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, LimiterPerProcess: true})
	if err != nil {
		return err
	}
	page, err := db.PrepareContext(ctx, "SELECT "+columnNames(record.Users.Table)+" FROM users WHERE (name, id) > (?, ?) AND blocked = 0 ORDER BY name, id LIMIT 25")
	if err != nil {
		return err
	}
	defer page.Close()
	places := min(100, *rows/20) // at which the pages begin, so that each is whole
	for _, depth := range []int{*rows / 1000, *rows / 10 * 9} {
		err := compare(fmt.Sprintf("page of 25 at depth %d of %d by name, SQLite", depth, *rows), side{"engine", func(n int) error {
			for i := range n {
				list, err := engine.Users().List(ctx, query.Equal("status", true), query.OrderAsc("name"), query.CursorAfter(rawstore.UserID(depth+i%places)), query.NoTotal())
				if err != nil || len(list.Users) != 25 {
					return errors.Join(err, errors.New("no page"))
				}
			}
			return nil
		}}, side{"keyset", func(n int) error {
			for i := range n {
				after := listed(depth + i%places)
				rows, err := page.QueryContext(ctx, after.Name, after.ID)
				if err := scan(rows, err, 25); err != nil {
					return err
				}
			}
			return nil
		}})
		if err != nil {
			return err
		}
	}
	words, err := db.PrepareContext(ctx, "SELECT row_id FROM words WHERE scope = 'users' AND word >= ? AND word < ? LIMIT 5000")
	if err != nil {
		return err
	}
	defer words.Close()
	user, err := db.PrepareContext(ctx, "SELECT "+columnNames(record.Users.Table)+" FROM users WHERE id = ?")
	if err != nil {
		return err
	}
	defer user.Close()
	err = compare(fmt.Sprintf("search for a prefix with 10 hits among %d, SQLite", *rows), side{"engine", func(n int) error {
		for range n {
			list, err := engine.Users().List(ctx, query.Search("need"), query.Limit(10))
			if err != nil || list.Total != 10 {
				return errors.Join(err, errors.New("not found"))
			}
		}
		return nil
	}}, side{"range and rows", func(n int) error {
		for range n {
			hits, err := words.QueryContext(ctx, "need", "need\U0010FFFF")
			if err != nil {
				return err
			}
			var ids []string
			for hits.Next() {
				var id string
				if err := hits.Scan(&id); err != nil {
					return err
				}
				ids = append(ids, id)
			}
			if err := errors.Join(hits.Err(), hits.Close()); err != nil {
				return err
			}
			for _, id := range ids {
				rows, err := user.QueryContext(ctx, id)
				if err := scan(rows, err, 1); err != nil {
					return err
				}
			}
		}
		return nil
	}})
	if err != nil {
		return err
	}
	secrets, err := signedIn(ctx, engine)
	if err != nil {
		return err
	}
	session, err := db.PrepareContext(ctx, "SELECT * FROM sessions WHERE digest = ?")
	if err != nil {
		return err
	}
	defer session.Close()
	profile := profiles(ctx, engine, secrets)
	return errors.Join(
		compare("AuthenticateProfile, SQLite", profile, side{"two selects", func(n int) error {
			for i := range n {
				at := scatter(i, len(secrets))
				digest := rawstore.Digest(secrets[at])
				rows, err := session.QueryContext(ctx, digest[:])
				if err != nil {
					return err
				}
				into := make([]any, len(record.Sessions.Columns()))
				for i := range into {
					into[i] = new(any)
				}
				for rows.Next() {
					if err := rows.Scan(into...); err != nil {
						return err
					}
				}
				if err := errors.Join(rows.Err(), rows.Close()); err != nil {
					return err
				}
				of, err := user.QueryContext(ctx, rawstore.UserID(at))
				if err := scan(of, err, 1); err != nil {
					return err
				}
			}
			return nil
		}}),
		compare("AuthenticateProfile against the check alone, SQLite", profile, checksOf(ctx, engine, secrets)),
		compare("Authenticate and Profile against the check alone, SQLite", twoCalls(ctx, engine, secrets), checksOf(ctx, engine, secrets)),
	)
}

// signedIn makes a session of each of a thousand users, and returns their secrets.
func signedIn(ctx context.Context, engine *latchkey.Engine) ([]string, error) {
	secrets := make([]string, 1000)
	for n := range secrets {
		if n%10 == 0 { // blocked
			if _, err := engine.Users().UpdateStatus(ctx, rawstore.UserID(n), true); err != nil {
				return nil, err
			}
		}
		session, err := engine.Users().CreateSession(ctx, rawstore.UserID(n))
		if err != nil {
			return nil, err
		}
		secrets[n] = session.Secret.Reveal()
	}
	return secrets, nil
}

// profiles checks sessions, and reads profiles and roles with them.
func profiles(ctx context.Context, engine *latchkey.Engine, secrets []string) side {
	guest := engine.Guest(latchkey.Client{})
	return side{"AuthenticateProfile", func(n int) error {
		for i := range n {
			if _, _, err := guest.AuthenticateProfile(ctx, secrets[scatter(i, len(secrets))]); err != nil {
				return err
			}
		}
		return nil
	}}
}

// twoCalls is profiles by two calls.
func twoCalls(ctx context.Context, engine *latchkey.Engine, secrets []string) side {
	guest := engine.Guest(latchkey.Client{})
	return side{"Authenticate and Profile", func(n int) error {
		for i := range n {
			account, err := guest.Authenticate(ctx, secrets[scatter(i, len(secrets))])
			if err != nil {
				return err
			}
			if _, err := account.Profile(ctx); err != nil {
				return err
			}
		}
		return nil
	}}
}

// checksOf checks sessions.
func checksOf(ctx context.Context, engine *latchkey.Engine, secrets []string) side {
	guest := engine.Guest(latchkey.Client{})
	return side{"Authenticate", func(n int) error {
		for i := range n {
			if _, err := guest.Authenticate(ctx, secrets[scatter(i, len(secrets))]); err != nil {
				return err
			}
		}
		return nil
	}}
}

func profilesOnBolt(dir string) error {
	s, err := bbolt.Open(filepath.Join(dir, "users.bolt"))
	if err != nil {
		return err
	}
	return profilesOn("bbolt", s)
}

// profilesOn compares profiles with checks alone, on a store of a thousand users.
func profilesOn(name string, s store.Store) (err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, LimiterPerProcess: true})
	if err != nil {
		return err
	}
	was := *rows
	*rows = 1000
	err = fillUsers(s)
	*rows = was
	if err != nil {
		return err
	}
	secrets, err := signedIn(ctx, engine)
	if err != nil {
		return err
	}
	return compare("AuthenticateProfile against the check alone, "+name, profiles(ctx, engine, secrets), checksOf(ctx, engine, secrets))
}
