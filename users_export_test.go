package latchkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// An export has every row that names the user, of every table, and nothing of others. What
// proves something is left out.
func TestExportHasEveryRowOfTheUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		id := account.UserID()
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, id, kit.Phone)))
		k.Must(kit.Err(account.UpdatePrefs(k.Ctx, json.RawMessage(`{"theme":"dark"}`))))
		session, err := account.RotateSession(k.Ctx)
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})))
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, acmeAda)))
		token, err := k.Users().CreateToken(k.Ctx, id, 6, 0)
		k.Must(err)
		_, pending := k.Owing(k.Visitor)
		k.Must(kit.Err(pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)))
		other, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Bob, Name: "Somebody Else", Password: kit.Password})
		k.Must(err)
		k.Must(kit.Err(account.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Teachers"})))
		engine := k.Configured(func(c *latchkey.Config) {
			c.Outbox = &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "crm", Receive: func(context.Context, latchkey.Event) error {
				return notify.Permanent(errors.New("no such account"))
			}}}}
		})
		k.Must(kit.Err(engine.Users().UpdateName(k.Ctx, id, "Countess")))
		k.Must(engine.Close())
		text, err := k.Users().Export(k.Ctx, id)
		k.Must(err)
		var document map[string][]map[string]any
		k.Must(json.Unmarshal(text, &document))
		user, err := record.Users.Get(k.Ctx, k.Raw, record.Users.Primary(), store.Text(id))
		k.Must(err)
		for _, table := range record.Schema.Tables() {
			rows, err := k.Raw.List(k.Ctx, store.Query{Index: table.Primary(), Limit: store.MaxLimit})
			k.Must(err)
			want := 0
			for _, row := range rows {
				values := row.Values()
				if table == record.Logs.Table { // the lines of the user's own log, and not those of a team that they have changed
					values = []store.Value{row.At(table.Column("user_key"))}
				}
				for _, v := range values {
					if v.Kind() == store.KindText && (v.Text() == id || v.Text() == user.Key) {
						want++
						break
					}
				}
			}
			if got := len(document[table.Name()]); got != want {
				k.Errorf("%s: %d rows, want %d", table.Name(), got, want)
			}
			if want == 0 && !slices.Contains([]string{"failures", "settings", "teams", "starts"}, table.Name()) { // a team belongs to its members together
				k.Errorf("the user of this test has no row of %s", table.Name())
			}
		}
		for table, rows := range document { // the names of columns, whatever is in them
			for _, column := range []string{"password", "password_history", "digest", "seed", "sealed", "inviter", "inviter_key"} {
				if slices.ContainsFunc(rows, func(row map[string]any) bool { _, shown := row[column]; return shown }) {
					k.Errorf("the export shows %s.%s", table, column)
				}
			}
		}
		secrets := []string{token.Secret.Reveal(), "Somebody", kit.Bob, other.ID, "digest", "seed", "sealed"}
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) {
				k.Errorf("the export shows %q", secret)
			}
		}
		if prefs := document["users"][0]["prefs"].(map[string]any); prefs["theme"] != "dark" || document["users"][0]["email"] != kit.Ada {
			k.Errorf("%v", document["users"])
		}
		k.Refuses("unknown", latchkey.ErrUserNotFound, func() error { return kit.Err(k.Users().Export(k.Ctx, "nobody")) })
	})
}
