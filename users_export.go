package latchkey

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// personal are the tables that hold rows about users, with the index that finds them. The
// counts of wrong answers are kept under digests of addresses, which name nobody, and are in
// no export.
var personal = []struct {
	index *store.Index
	key   func(user *record.User) []store.Value
}{
	{record.Users.Primary(), byUserID},
	{record.Addresses.Index("user"), byUserID},
	{record.Targets.Index("user"), byUserID},
	{record.Sessions.Index("user"), byUserID},
	{record.Tokens.Index("user"), byUserID},
	{record.Authenticators.Index("user"), byUserID},
	{record.Challenges.Index("user"), byUserID},
	{record.RecoveryCodes.Index("user"), byUserID},
	{record.Words.Index("row"), func(user *record.User) []store.Value {
		return []store.Value{store.Text("users"), store.Text(user.ID)}
	}},
	{record.Logs.Index("user"), func(user *record.User) []store.Value { return []store.Value{store.Text(user.Key)} }},
}

func byUserID(user *record.User) []store.Value { return []store.Value{store.Text(user.ID)} }

// secretColumns are the columns that an export leaves out: they prove something, and tell
// nothing about their user.
var secretColumns = []string{"password", "password_history", "digest", "seed", "sealed"}

// Export returns everything that the store holds about a user, as one JSON object with a
// list of rows for each table, as of one moment. Names are those of the tables and their
// columns; a time is in RFC 3339. What proves something is left out: hashes, digests, seeds
// and recovery codes. The log is that of the user, with the addresses of the host's staff
// left out, as in [Account.Logs].
func (u *Users) Export(ctx context.Context, id string) (_ json.RawMessage, err error) {
	defer publicError("export user", &err)
	c, err := u.beginFor(id)
	if err != nil {
		return nil, err
	}
	return usersChange(ctx, c, id, func(ctx context.Context, tx *txn, user *record.User) (json.RawMessage, error) {
		document := make(map[string][]map[string]any)
		for _, p := range personal {
			table := p.index.Table()
			rows, err := allRows(ctx, tx, store.Query{Index: p.index, Equal: p.key(user), Limit: store.MaxLimit})
			if err != nil {
				return nil, err
			}
			list := make([]map[string]any, 0, len(rows))
			for _, row := range rows {
				list = append(list, exported(table, row))
			}
			document[table.Name()] = list
		}
		for _, l := range document[record.Logs.Name()] {
			if mode, _ := l["mode"].(string); byStaff(mode) {
				l["ip"], l["agent"], l["actor"] = "", "", ""
			}
		}
		return json.Marshal(document)
	})
}

// allRows returns every row that a query selects.
func allRows(ctx context.Context, r store.Reader, q store.Query) (all []store.Row, err error) {
	for {
		rows, err := r.List(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if len(rows) < q.Limit {
			return all, nil
		}
		q.After = q.Index.Position(rows[len(rows)-1])
	}
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
