package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/internal/rawstore"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
)

// teamsCases measures the members of a team of -rows users, and the roles of users in ten teams.
// The limits read the file of the engine's own store with database/sql.
func teamsCases(dir string) error {
	return onSQLite(dir, "teams", teamsOn)
}

// inTeams is the number of small teams of each user who is in them: a tenth of all users, and at most
// a thousand. The others are in the large team.
const inTeams = 10

func inSmallTeams() int { return min(*rows/10, 1000) }

// memberOf returns the membership of the n-th user in a team.
func memberOf(n int, team string) *record.Membership {
	u := listed(n)
	return &record.Membership{
		ID: fmt.Sprintf("m%s%09d", team, n), TeamID: team, UserID: u.ID, UserKey: u.Key, Subject: u.ID, Created: u.Created, Updated: u.Created,
		Invited: u.Created, Joined: u.Created, Confirm: true, Roles: `["player","coach"]`,
	}
}

// fillTeams makes the large team and the small ones.
func fillTeams(s store.Store) error {
	small := inSmallTeams()
	team := func(ctx context.Context, tx store.Tx, id string, total int) error {
		return record.Teams.Insert(ctx, tx, &record.Team{ID: id, Key: "key" + id, Created: rawstore.Began, Updated: rawstore.Began, Name: id, Prefs: "{}", Total: int64(total)})
	}
	err := s.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
		for n := range inTeams {
			if err := team(ctx, tx, fmt.Sprint("small", n), small); err != nil {
				return err
			}
		}
		return team(ctx, tx, "large", *rows-small)
	})
	if err != nil {
		return err
	}
	for at := 0; at < *rows; at += 5000 {
		err := s.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
			for n := at; n < min(*rows, at+5000); n++ {
				u := listed(n)
				u.Blocked, u.Memberships = false, 1
				teams := []string{"large"}
				if n < small {
					teams, u.Memberships = nil, inTeams
					for i := range inTeams {
						teams = append(teams, fmt.Sprint("small", i))
					}
				}
				if err := record.Users.Insert(ctx, tx, u); err != nil {
					return err
				}
				for _, id := range teams {
					if err := record.Memberships.Insert(ctx, tx, memberOf(n, id)); err != nil {
						return err
					}
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

// columnsOf returns the names of the columns of a table, for a select.
func columnsOf(table *store.Table, as string) string {
	var names []string
	for _, c := range table.Columns() {
		names = append(names, as+"."+c.Name)
	}
	return strings.Join(names, ", ")
}

// read reads all columns of all rows.
func read(rows *sql.Rows, err error, columns, want int) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	into := make([]any, columns)
	for i := range into {
		into[i] = new(any)
	}
	n := 0
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		n++
	}
	if err := rows.Err(); err != nil || n != want {
		return errors.Join(err, fmt.Errorf("%d rows, not %d", n, want))
	}
	return nil
}

func teamsOn(s store.Store, db *sql.DB) error {
	if err := fillTeams(s); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, LimiterPerProcess: true})
	if err != nil {
		return err
	}
	page, err := db.PrepareContext(ctx, "SELECT "+columnsOf(record.Memberships.Table, "m")+", "+columnsOf(record.Users.Table, "u")+
		" FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.team_id = 'large' AND (m.created, m.id) > (?, ?) ORDER BY m.created, m.id LIMIT 25")
	if err != nil {
		return err
	}
	defer page.Close()
	columns := len(record.Memberships.Columns()) + len(record.Users.Columns())
	places := min(100, *rows/20)
	for _, depth := range []int{inSmallTeams() + *rows/100, *rows / 10 * 9} {
		err := compare(fmt.Sprintf("page of 25 members at depth %d of %d, SQLite", depth, *rows), side{"engine", func(n int) error {
			for i := range n {
				list, err := engine.Teams().Memberships(ctx, "large", query.CursorAfter(memberOf(depth+i%places, "large").ID), query.NoTotal())
				if err != nil || len(list.Memberships) != 25 {
					return errors.Join(err, errors.New("no page"))
				}
			}
			return nil
		}}, side{"keyset", func(n int) error {
			for i := range n {
				after := memberOf(depth+i%places, "large")
				rows, err := page.QueryContext(ctx, after.Created.UnixMicro(), after.ID)
				if err := read(rows, err, columns, 25); err != nil {
					return err
				}
			}
			return nil
		}})
		if err != nil {
			return err
		}
	}
	secrets := make([]string, inSmallTeams())
	for n := range secrets {
		session, err := engine.Users().CreateSession(ctx, rawstore.UserID(n))
		if err != nil {
			return err
		}
		secrets[n] = session.Secret.Reveal()
	}
	var selects []*sql.Stmt
	for _, text := range []string{
		"SELECT " + columnsOf(record.Sessions.Table, "s") + " FROM sessions s WHERE digest = ?", "SELECT " + columnsOf(record.Users.Table, "u") + " FROM users u WHERE id = ?",
		"SELECT " + columnsOf(record.Memberships.Table, "m") + " FROM memberships m WHERE user_id = ? ORDER BY created, id",
	} {
		stmt, err := db.PrepareContext(ctx, text)
		if err != nil {
			return err
		}
		defer stmt.Close()
		selects = append(selects, stmt)
	}
	return compare("AuthenticateProfile of a user in 10 teams, SQLite", profiles(ctx, engine, secrets), side{"three selects", func(n int) error {
		for i := range n {
			at := scatter(i, len(secrets))
			digest := rawstore.Digest(secrets[at])
			rows, err := selects[0].QueryContext(ctx, digest[:])
			if err := read(rows, err, len(record.Sessions.Columns()), 1); err != nil {
				return err
			}
			rows, err = selects[1].QueryContext(ctx, rawstore.UserID(at))
			if err := read(rows, err, len(record.Users.Columns()), 1); err != nil {
				return err
			}
			rows, err = selects[2].QueryContext(ctx, rawstore.UserID(at))
			if err := read(rows, err, len(record.Memberships.Columns()), inTeams); err != nil {
				return err
			}
		}
		return nil
	}})
}
