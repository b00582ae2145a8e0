package latchkey_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// broken returns every rule that the raw rows break. Each test of a kit ends
// with it.
func (k *kit) broken() (rules []string) {
	k.Helper()
	all := func(table *store.Table) []store.Row {
		rows, err := k.store.Store.List(k.ctx, store.Query{Index: table.Primary(), Limit: store.MaxLimit})
		if errors.Is(err, store.ErrClosed) {
			return nil
		}
		k.must(err)
		return rows
	}
	say := func(format string, args ...any) { rules = append(rules, fmt.Sprintf(format, args...)) }

	users := make(map[string]*record.User)
	for _, row := range all(record.Users.Table) {
		u := record.Users.Record(row)
		users[u.ID] = u
	}
	emails := make(map[string]string)
	for _, row := range all(record.Addresses.Table) {
		a := record.Addresses.Record(row)
		emails[a.Address] = a.UserID
		if u := users[a.UserID]; u == nil || u.Email != a.Address {
			say("address of %s has no user", a.UserID)
		}
	}
	targets := make(map[string]string)
	for _, row := range all(record.Targets.Table) {
		t := record.Targets.Record(row)
		targets[t.ProviderType+" "+t.Identifier] = t.UserID
		if users[t.UserID] == nil {
			say("target of %s has no user", t.UserID)
		}
	}
	for _, u := range users {
		if u.Email != "" && emails[u.Email] != u.ID {
			say("the address of %s is not theirs", u.ID)
		}
		if u.Email != "" && targets["email "+u.Email] == "" || u.Phone != "" && targets["sms "+u.Phone] == "" {
			say("an address of %s has no target", u.ID)
		}
		if u.EmailVerified && u.Email == "" || u.PhoneVerified && u.Phone == "" {
			say("%s has proven an address that is not there", u.ID)
		}
		if (u.Password != nil) && u.PasswordUpdated.IsZero() {
			say("the password of %s has no date", u.ID)
		}
	}
	confirmed := make(map[string]bool)
	for _, row := range all(record.Authenticators.Table) {
		a := record.Authenticators.Record(row)
		confirmed[a.UserID] = a.Verified
		if users[a.UserID] == nil {
			say("authenticator of %s has no user", a.UserID)
		}
	}
	for _, u := range users {
		if u.TOTP != confirmed[u.ID] {
			say("the authenticator of %s is confirmed: %v, and the user says %v", u.ID, confirmed[u.ID], u.TOTP)
		}
	}
	live := make(map[string]int)
	for _, row := range all(record.Sessions.Table) {
		s := record.Sessions.Record(row)
		u := users[s.UserID]
		if u == nil {
			say("session of %s has no user", s.UserID)
			continue
		}
		if s.Expire.After(k.clock.Now()) {
			live[u.ID]++
		}
		var factors []string
		if u.Password != nil {
			factors = append(factors, "password")
		}
		if u.TOTP {
			factors = append(factors, "totp")
		}
		if u.Recovered {
			factors = append(factors, "recovered")
		}
		if u.EmailVerified {
			factors = append(factors, "email")
		}
		if u.PhoneVerified {
			factors = append(factors, "phone")
		}
		if s.UserBlocked != u.Blocked || s.UserMustReset != u.MustReset || s.UserMFA != u.MFA || s.UserFactors != strings.Join(factors, " ") {
			say("a session of %s has other facts than its user: %+v", u.ID, s)
		}
	}
	for id, n := range live {
		if limit := max(k.policy.SessionLimit, 1); n > limit && k.policy.SessionLimit != 0 || n > 10 && k.policy.SessionLimit == 0 {
			say("%s has %d sessions", id, n)
		}
	}
	words := make(map[string]bool)
	for _, row := range all(record.Words.Table) {
		w := record.Words.Record(row)
		words[w.RowID] = true
		if users[w.RowID] == nil {
			say("word of %s has no user", w.RowID)
		}
	}
	for id := range users {
		if !words[id] && strings.ContainsFunc(id, func(r rune) bool { return r != '.' && r != '-' && r != '_' }) {
			say("%s is not found by words", id)
		}
	}
	slices.Sort(rules)
	return rules
}

// logs returns the events of the log since the last call, in the order in
// which they were written, with who did them.
func (k *kit) logs() (out []string) {
	k.Helper()
	rows, err := record.Logs.List(k.ctx, k.store.Store, store.Query{Index: record.Logs.Index("created"), Limit: store.MaxLimit})
	k.must(err)
	for _, l := range rows {
		line := l.Event + " by " + l.Mode
		if l.Reason != "" {
			line += fmt.Sprintf(" for %s, %d", l.Reason, l.Count)
		}
		if !k.seen[l.ID+line] {
			k.seen[l.ID+line] = true
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// events returns the names of the events since the last call, with the ids
// that are given replaced by the words behind them.
func (k *kit) events(ids ...string) (out []string) {
	r := strings.NewReplacer(ids...)
	for _, e := range k.told.Take() {
		out = append(out, r.Replace(e.Name)+" by "+e.Mode)
	}
	return out
}

// forget leaves out what has happened so far.
func (k *kit) forget() {
	k.Helper()
	k.logs()
	k.told.Take()
}
