package latchkey

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// personal are the tables that hold rows about users, besides the log, with the queries that
// find them. The counts of wrong answers, and the ids of deleted users, are kept under digests,
// which name nobody, and are in no export.
var personal = []struct {
	table   *store.Table
	queries func(user *record.User) []store.Query
}{
	{record.Users.Table, byUserID(record.Users.Primary())},
	{record.Addresses.Table, byUserID(record.Addresses.Index("user"))},
	{record.Targets.Table, byUserID(record.Targets.Index("user"))},
	{record.Sessions.Table, byUserID(record.Sessions.Index("user"))},
	{record.Tokens.Table, tokensAbout},
	{record.Authenticators.Table, byUserID(record.Authenticators.Index("user"))},
	{record.Challenges.Table, byUserID(record.Challenges.Index("user"))},
	{record.RecoveryCodes.Table, byUserID(record.RecoveryCodes.Index("user"))},
	{record.Memberships.Table, membershipsAbout},
	{record.Identities.Table, byUserID(record.Identities.Index("user"))},
	{record.Passkeys.Table, byUserID(record.Passkeys.Index("user"))},
	{record.Handles.Table, byUserID(record.Handles.Primary())},
	{record.Ceremonies.Table, byUserID(record.Ceremonies.Index("user"))},
	{record.Outbox.Table, func(user *record.User) []store.Query { // few rows, most of the time
		q := rowsOf(record.Outbox.Primary())
		q.Where = []store.Filter{store.Where("user_id", store.OpEqual, store.Text(user.ID))}
		return []store.Query{q}
	}},
	{record.Words.Table, func(user *record.User) []store.Query {
		return []store.Query{rowsOf(record.Words.Index("row"), "users", user.ID)}
	}},
}

// byUserID selects the rows under the id of the user.
func byUserID(index *store.Index) func(user *record.User) []store.Query {
	return func(user *record.User) []store.Query { return []store.Query{rowsOf(index, user.ID)} }
}

// tokensAbout selects the tokens of a user, and those that were sent to their addresses before
// they had them.
func tokensAbout(user *record.User) []store.Query {
	queries := []store.Query{rowsOf(record.Tokens.Index("user"), user.ID)}
	for _, kind := range tokenKinds {
		for _, address := range []string{user.Email, user.Phone} {
			if address != "" {
				queries = append(queries, rowsOf(record.Tokens.Index("slot"), kind.name, address))
			}
		}
	}
	return queries
}

// membershipsAbout selects the memberships of a user, and the invitations to them: by id, or to
// addresses that they have proven.
func membershipsAbout(user *record.User) []store.Query {
	queries := []store.Query{rowsOf(record.Memberships.Index("user"), user.ID)}
	for _, by := range []*contact{byEmail, byPhone} {
		if by.address(user) == "" {
			continue
		}
		q := rowsOf(record.Memberships.Index("invited"), by.address(user))
		q.Where = []store.Filter{store.Where("invitee", store.OpEqual, store.Text(user.Key))}
		if hasProven(user, by) {
			q.Where = []store.Filter{store.Or(q.Where[0], store.Where("invitee", store.OpIsNull))}
		}
		queries = append(queries, q)
	}
	return queries
}

// secretColumns are the columns that an export leaves out: they prove something, or name the
// sender of an invitation.
var secretColumns = []string{"password", "password_history", "digest", "seed", "sealed", "inviter", "inviter_key", "access", "refresh"}

// Export returns what [Users.ExportTo] writes. The log may make it large: more than a hundred
// bytes a line.
func (u *Users) Export(ctx context.Context, id string) (_ json.RawMessage, err error) {
	var b bytes.Buffer
	if err := u.ExportTo(ctx, id, &b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// ExportTo writes everything that the store holds about a user, as one JSON object with a
// list of rows for each table. Names are those of the tables and their columns; a time is in
// RFC 3339. What proves something is left out: hashes, digests, seeds, recovery codes and the tokens of
// providers. The
// log is that of the user, with the ids and addresses of the host's staff left out, and those
// of strangers, as in [Account.Logs]. The log comes last, and is read and written piece by piece.
// It has memberships and the open invitations to the user. It has no teams, which belong to their
// members together, and no log of a team, which names the user for their changes of it.
//
// It reads and does not hold up writers. If the user changes while it reads the rest, it
// reads that again. A failure while the log is written leaves a part of the object.
//
// Errors:
//   - [ErrBusy]: the user has changed again and again.
//   - those of w
func (u *Users) ExportTo(ctx context.Context, id string, w io.Writer) (err error) {
	defer u.home().operation(&ctx, "export user").end(&err)
	c, err := u.beginFor(id)
	if err != nil {
		return err
	}
	user, document, err := c.exportRows(ctx, id)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	for _, p := range personal {
		if p.table != record.Users.Table {
			_, _ = out.WriteString(",") // a failure stays until Flush
		} else {
			_, _ = out.WriteString("{")
		}
		list, err := json.Marshal(document[p.table])
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "%q:%s", p.table.Name(), list)
	}
	_, _ = fmt.Fprintf(out, ",%q:[", record.Logs.Name())
	first := true
	for page, err := range record.Logs.Pages(ctx, c.store, store.Query{Index: record.Logs.Index("user"), Equal: []store.Value{store.Text(user.Key)}, Limit: 1000}) {
		if err != nil {
			return err
		}
		for _, l := range page {
			hideStrangers(l, user.ID)
			line, err := json.Marshal(exported(record.Logs.Table, record.Logs.Row(l)))
			if err != nil {
				return err
			}
			if !first {
				_, _ = out.WriteString(",")
			}
			first = false
			_, _ = out.Write(line)
		}
	}
	_, _ = out.WriteString("]}")
	return asHostError(out.Flush())
}

// exportTries is how often an export reads a user who changes meanwhile.
const exportTries = 3

// exportRows returns a user, and the rows of the personal tables.
func (c *call) exportRows(ctx context.Context, id string) (*record.User, map[*store.Table][]map[string]any, error) {
	user, err := getUser(ctx, c.store, id)
	if err != nil {
		return nil, nil, err
	}
	for range exportTries {
		document := make(map[*store.Table][]map[string]any)
		for _, p := range personal {
			list, err := c.exportTable(ctx, p.table, p.queries(user))
			if err != nil {
				return nil, nil, err
			}
			document[p.table] = list
		}
		again, err := getUser(ctx, c.store, id)
		switch {
		case err != nil:
			return nil, nil, err
		case reflect.DeepEqual(user, again):
			return user, document, nil
		}
		user = again
	}
	return nil, nil, ErrBusy
}

// exportTable returns the rows of a table that queries select, each once.
func (c *call) exportTable(ctx context.Context, table *store.Table, queries []store.Query) ([]map[string]any, error) {
	list, seen := []map[string]any{}, make(map[string]bool)
	for _, q := range queries {
		rows, err := c.store.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			key := ""
			for _, v := range table.Primary().Key(row) {
				key += fmt.Sprintf("%q", v.Text()) // every primary key is of texts
			}
			if !seen[key] {
				seen[key] = true
				list = append(list, exported(table, row))
			}
		}
	}
	return list, nil
}

// exported returns a row by the names of its columns.
func exported(table *store.Table, row store.Row) map[string]any {
	out := make(map[string]any)
	for i, column := range table.Columns() {
		v := row.At(i)
		switch {
		case slices.Contains(secretColumns, column.Name):
		case v.IsNull():
			out[column.Name] = nil
		case column.JSON:
			out[column.Name] = json.RawMessage(v.Text())
		case v.Kind() == store.KindText:
			out[column.Name] = v.Text()
		case v.Kind() == store.KindBool:
			out[column.Name] = v.Bool()
		case v.Kind() == store.KindInt:
			out[column.Name] = v.Int()
		case v.Kind() == store.KindTime:
			out[column.Name] = v.Time().UTC().Format(time.RFC3339Nano)
		default:
			out[column.Name] = base64.StdEncoding.EncodeToString(v.Bytes())
		}
	}
	return out
}
