package latchkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/passkey"
	"example.com/latchkey/store"
)

// Each change of a passkey is told: by a notice to the user, an event to the host and a line of the log.
func TestEachChangeOfAPasskeyIsTold(t *testing.T) {
	for _, strict := range []bool{false, true} {
		policy := kit.Documented
		policy.Factors.RefuseClonedPasskeys = strict
		kit.OnEveryStore(t, policy, func(k *kit.Kit) {
			user := k.Proven()
			_, account := k.SignIn(kit.Ada)
			d := device()
			told := func(what, event, line string) {
				k.Helper()
				p, err := record.Passkeys.List(k.Ctx, k.Raw, store.Query{Index: record.Passkeys.Primary(), Limit: 1})
				k.Must(err)
				id := "none"
				if len(p) > 0 {
					id = p[0].ID
				}
				events := k.Events(id, "PASSKEY")
				if !slices.ContainsFunc(events, func(e string) bool {
					return strings.Contains(e, ".passkeys.") && strings.Contains(e, "."+event+" ")
				}) {
					k.Errorf("%s: the events are %v", what, events)
				}
				if lines := k.Logs(); !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, line+" ") }) {
					k.Errorf("%s: the log has %v", what, lines)
				}
			}
			k.Forget()
			made := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
			told("a new one", "create", "passkey.create")
			k.Must(kit.Err(account.RenamePasskey(k.Ctx, made.ID, "Telephone")))
			told("another name", "update", "passkey.update")
			k.Clock.Advance(time.Minute)
			d.SetCount(10)
			k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
			k.Forget()
			if _, err := k.SignInByPasskey(k.Visitor, d); (err != nil) != strict {
				k.Errorf("strict %v: %v", strict, err)
			}
			told("a copy", "update", map[bool]string{false: "passkey.update", true: "session.refuse"}[strict])
			k.Clock.Advance(time.Minute)
			d.SetCount(11)
			d.Syncable, d.Synced = true, true
			k.Forget()
			k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
			told("one that is synced", "update", "passkey.update")
			k.Must(k.Users().DeletePasskey(k.Ctx, user.ID, made.ID))
			told("a deletion", "delete", "passkey.delete")
			changes := map[notify.Change]int{}
			for _, m := range k.Drained(k.Engine) {
				if m.Kind == notify.FactorsChanged && m.To == kit.Ada {
					changes[m.Change]++
				}
			}
			k.Same("notices", changes, map[notify.Change]int{notify.PasskeyAdded: 1, notify.PasskeyCloned: 1, notify.PasskeySynced: 1, notify.PasskeyRemoved: 1})
		})
	}
}

// provenBy returns a new session of Ada that has proven a passkey.
func provenBy(k *kit.Kit, d *authtest.Device) *latchkey.Account {
	k.Helper()
	_, account := k.SignIn(kit.Ada)
	return stepUp(k, account, d)
}

// Each refusal is in the log, under the name of its ceremony.
func TestEachRefusalOfAPasskeyIsInTheLog(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		wrong := func(_, response map[string]any) { response["signature"] = "AAAA" }
		unknown := func(all, _ map[string]any) { all["id"], all["rawId"] = "AAAA", "AAAA" }
		logged := func(what, line string, do func() error) {
			k.Helper()
			k.Clock.Advance(time.Hour)
			k.Forget()
			if err := do(); err == nil {
				k.Errorf("%s is taken", what)
			}
			if lines := k.Logs(); !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, line) }) {
				k.Errorf("%s: the log has %v", what, lines)
			}
		}
		signIn := func(change func(all, response map[string]any)) func() error {
			return func() error {
				return kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, edited(k, k.Offered(k.Visitor, d), change)))
			}
		}
		stepUp := func(change func(all, response map[string]any)) func() error {
			return func() error {
				return kit.Err(account.FinishPasskeyChallenge(k.Ctx, edited(k, challenged(k, account, d), change)))
			}
		}
		logged("an unknown question", "session.refuse by guest for user_passkey_refused", func() error { return kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, kit.UnknownAnswer)) })
		logged("a wrong sign-in", "session.refuse by guest for user_passkey_refused", signIn(wrong))
		logged("an unknown passkey", "session.refuse by guest for user_passkey_unknown", signIn(unknown))
		logged("an unknown question of a step-up", "challenge.refuse by user for user_passkey_refused", func() error { return kit.Err(account.FinishPasskeyChallenge(k.Ctx, kit.UnknownAnswer)) })
		logged("a wrong step-up", "challenge.refuse by user for user_passkey_refused", stepUp(wrong))
		logged("a step-up by an unknown passkey", "challenge.refuse by user for user_passkey_unknown", stepUp(unknown))
		logged("a late enrolment", "passkey.refuse by user for user_passkey_refused", func() error {
			fresh := provenBy(k, d)
			answer := created(k, fresh, device())
			k.Clock.Advance(5 * time.Minute)
			return kit.Err(fresh.FinishPasskeyEnrolment(k.Ctx, answer, ""))
		})
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)))
		logged("a blocked user", "session.refuse by guest for user_blocked", signIn(func(_, _ map[string]any) {}))
	})
}

// Wrong answers slow the factor: then a right one waits uncompared. A right one in time forgets them, and makes the client known unless
// the session has shown the passkey before.
func TestWrongAnswersOfAPasskeySlowTheFactor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, first := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(first, d, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(first.UpdateMFA(k.Ctx, true)))
		wrong := func(a *latchkey.Account) error {
			answer := edited(k, challenged(k, a, d), func(_, response map[string]any) { response["signature"] = "AAAA" })
			return kit.Err(a.FinishPasskeyChallenge(k.Ctx, answer))
		}
		counted := func(purpose string) (n int) {
			for _, row := range k.Everything()["failures"] {
				if strings.Contains(row, `purpose=false/"`+purpose+`"`) {
					n++
				}
			}
			return n
		}
		slowed := false
		for range 20 {
			err := wrong(first)
			if _, slowed = errors.AsType[*latchkey.ThrottledError](err); slowed {
				break
			}
			if !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Fatal(err)
			}
		}
		if !slowed || counted("factor/passkey") != 1 {
			k.Errorf("slowed %v, %d counts", slowed, counted("factor/passkey"))
		}
		right := challenged(k, first, d)
		open := k.Rows()["ceremonies"]
		err := kit.Err(first.FinishPasskeyChallenge(k.Ctx, right))
		if _, is := errors.AsType[*latchkey.ThrottledError](err); !is || k.Rows()["ceremonies"] != open {
			k.Errorf("a right answer while the factor is slowed: %v", err)
		}
		k.Clock.Advance(time.Hour)
		far := k.Guest(kit.At("203.0.113.9"))
		elsewhere, err := far.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		known := counted("known")
		k.Must(kit.Err(elsewhere.FinishPasskeyChallenge(k.Ctx, challenged(k, elsewhere, d))))
		if counted("factor/passkey") != 0 || counted("known") != known {
			k.Errorf("a right answer leaves %d counts, and makes %d clients known", counted("factor/passkey"), counted("known")-known)
		}
		_, pending := k.Owing(far)
		known = counted("known")
		k.Must(kit.Err(pending.FinishPasskeyChallenge(k.Ctx, challenged(k, pending, d))))
		if counted("known") != known+1 {
			k.Errorf("a second factor makes %d clients known", counted("known")-known)
		}
	})
}

// The row of a passkey has the claims of its enrolment, and the session has proven it.
func TestTheRowOfANewPasskeyIsWhole(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		d := device()
		d.Counting, d.Syncable, d.Synced, d.AAGUID = true, true, true, [16]byte{0xba, 0xda, 0x55, 0x66, 0xa7, 0xaa, 0x40, 0x1f, 0xbd, 0x96, 0x45, 0x61, 0x9a, 0x55, 0x12, 0x0d}
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		p := stored(k)
		if p.Count != 1 || !p.Eligible || !p.Synced || p.RPID != "example.org" || p.Session != session.ID || p.Second || p.Single || p.Format == "" || p.Transports != "internal" {
			k.Errorf("%+v", p)
		}
		if made.Name != "1Password" || made.Provider != "1Password" || !made.Synced || !made.Syncable {
			k.Errorf("%+v", made)
		}
		list, err := account.Sessions(k.Ctx)
		k.Must(err)
		k.Same("factors", list.Sessions[0].Factors, []string{"password", "passkey"})
		start, err := stepUp(k, account, d).StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
		k.Must(err)
		if _, err := d.Create(start.Options); err == nil {
			k.Error("the device makes a second passkey of the user")
		}
	})
}

// A new passkey needs a name that can be shown, a fresh session and a name of the user that authenticators take.
func TestGatesOfANewPasskey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		long := strings.Repeat("é", 60)
		k.Must(kit.Err(account.UpdateName(k.Ctx, long)))
		start, err := account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
		k.Must(err)
		var options struct {
			PublicKey struct {
				User struct{ Name, DisplayName string }
			}
		}
		k.Must(json.Unmarshal(start.Options, &options))
		if u := options.PublicKey.User; u.Name != kit.Ada || u.DisplayName != strings.Repeat("é", 32) {
			k.Errorf("%+v", u)
		}
		answer, err := device().Create(start.Options)
		k.Must(err)
		for _, name := range []string{" ", strings.Repeat("é", 65), "a\x00"} {
			k.Refuses("a name", latchkey.ErrArgumentInvalid, func() error { return kit.Err(account.FinishPasskeyEnrolment(k.Ctx, answer, name)) })
		}
		k.Clock.Advance(2 * time.Hour)
		k.Refuses("a session of two hours", latchkey.ErrChallengeRequired, func() error {
			return kit.Err(account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{}))
		})
	})
}

// The gate of an enrolment is asked again after the comparison: another session may have made a passkey meanwhile, which this one has
// not shown.
func TestTheGateOfANewPasskeyIsAskedAtTheEnd(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, thief := k.SignIn(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		answer := created(k, thief, device())
		atCommit(k, 2, func() { k.Enrol(account, device(), latchkey.PasskeyEnrolment{}) }, func() {
			if err := kit.Err(thief.FinishPasskeyEnrolment(k.Ctx, answer, "")); !errors.Is(err, latchkey.ErrChallengeRequired) {
				k.Errorf("%v", err)
			}
		})
		if n := k.Rows()["passkeys"]; n != 1 {
			k.Errorf("%d passkeys", n)
		}
	})
}

// A key that is a second factor only is the strongest proof of a user who has no other, verified or not.
func TestASecondFactorAloneIsTheStrongestProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		d.Unverified = true
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{SecondFactor: true})
		_, other := k.SignIn(kit.Ada)
		other = stepUp(k, other, d)
		k.Must(kit.Err(other.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})))
		k.Must(other.DeletePasskey(k.Ctx, made.ID)) // it is no way in
	})
}

// A host without passkeys answers each call alike.
func TestAHostWithoutPasskeysHasNoCeremonies(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, with := k.SignIn(kit.Ada)
		k.Enrol(with, device(), latchkey.PasskeyEnrolment{})
		guest := k.Configured(func(c *latchkey.Config) { c.Passkeys = nil }).Guest(kit.Client)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		for name, do := range map[string]func() error{
			"start enrolment": func() error { return kit.Err(account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})) },
			"enrolment":       func() error { return kit.Err(account.FinishPasskeyEnrolment(k.Ctx, kit.UnknownEnrolment, "")) },
			"start challenge": func() error { return kit.Err(account.StartPasskeyChallenge(k.Ctx)) },
			"challenge":       func() error { return kit.Err(account.FinishPasskeyChallenge(k.Ctx, kit.UnknownAnswer)) },
			"start sign-in":   func() error { return kit.Err(guest.StartPasskeySession(k.Ctx, latchkey.PasskeyOffer{})) },
			"sign-in":         func() error { return kit.Err(guest.FinishPasskeySession(k.Ctx, kit.UnknownAnswer)) },
			"signals":         func() error { return kit.Err(account.PasskeySignals(k.Ctx)) },
		} {
			k.Refuses(name, latchkey.ErrAuthMethodUnsupported, do)
		}
		_, bare := k.Anonymous()
		k.Refuses("a step-up without a passkey", latchkey.ErrPasskeyNotFound, func() error { return kit.Err(bare.StartPasskeyChallenge(k.Ctx)) })
	})
}

// The length of a session that the client of the start asks for is that of the session.
func TestTheLengthOfAPasskeySessionIsOfItsStart(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, d := k.Keyed()
		client := kit.Client
		client.SessionLength = time.Hour
		session, err := k.Visitor.FinishPasskeySession(k.Ctx, k.Offered(k.Guest(client), d))
		k.Must(err)
		if !session.Expire.Equal(k.Clock.Now().Add(time.Hour)) {
			k.Errorf("the session lives until %v", session.Expire)
		}
	})
}

// Clients without an address, of a host that does not tell them apart, do not end the questions of one another.
func TestQuestionsOfClientsWithoutAnAddressStay(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		guest := k.Guest(latchkey.Client{})
		for range 60 {
			k.Must(kit.Err(guest.StartPasskeySession(k.Ctx, latchkey.PasskeyOffer{})))
		}
		if n := k.Rows()["ceremonies"]; n != 60 {
			k.Errorf("%d questions", n)
		}
	})
}

// A store with passkeys of two domains belongs to neither.
func TestAStoreWithPasskeysOfTwoDomainsIsRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		below, err := passkey.New(passkey.Config{RPID: "app.example.org", Name: "Example", Origins: []string{kit.Page}})
		k.Must(err)
		guest := k.Configured(func(c *latchkey.Config) { c.Passkeys, c.PasskeysOfOtherDomains = below, true }).Guest(kit.Client)
		moved, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Enrol(moved, device(), latchkey.PasskeyEnrolment{})
		for _, p := range []*passkey.RelyingParty{kit.Passkeys, below} {
			_, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, Hasher: k.Hasher, Passkeys: p, LimiterPerProcess: true})
			if err == nil || !strings.Contains(err.Error(), "another domain") {
				k.Errorf("%s: %v", p.RPID(), err)
			}
		}
	})
}

// A wrong answer is counted, also if its caller hangs up after the comparison.
func TestAWrongAnswerOfACallerWhoHangsUpIsCounted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, d := k.Keyed()
		wrong := edited(k, challenged(k, account, d), func(_, response map[string]any) { response["signature"] = "AAAA" })
		ctx, hangUp := context.WithCancel(k.Ctx)
		atCommit(k, 2, hangUp, func() {
			if err := kit.Err(account.FinishPasskeyChallenge(ctx, wrong)); err == nil {
				k.Error("a wrong answer is taken")
			}
		})
		if failures := k.Everything()["failures"]; !slices.ContainsFunc(failures, func(row string) bool { return strings.Contains(row, "factor/passkey") }) {
			k.Errorf("not counted: %v", failures)
		}
	})
}

func TestAnUnknownPasskeyIsTold(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		answer := k.Offered(k.Visitor, d)
		k.Must(k.Users().DeletePasskey(k.Ctx, user.ID, made.ID))
		_, err := k.Visitor.FinishPasskeySession(k.Ctx, answer)
		unknown, is := errors.AsType[*latchkey.UnknownPasskeyError](err)
		if !is || !errors.Is(err, latchkey.ErrPasskeyUnknown) {
			k.Fatal(err)
		}
		var signal struct{ RPID, CredentialID string }
		k.Must(json.Unmarshal(unknown.Signal, &signal))
		if signal.RPID != "example.org" || signal.CredentialID == "" {
			k.Errorf("%s", unknown.Signal)
		}
	})
}

// The page of the user can tell the browser which passkeys there are.
func TestSignalsNameThePasskeys(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		signals, err := account.PasskeySignals(k.Ctx)
		k.Must(err)
		if string(signals.Accepted) != "null" || string(signals.Details) != "null" {
			k.Errorf("%+v", signals)
		}
		k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		signals, err = account.PasskeySignals(k.Ctx)
		k.Must(err)
		var accepted struct {
			RPID                     string
			UserID                   string
			AllAcceptedCredentialIDs []string
		}
		k.Must(json.Unmarshal(signals.Accepted, &accepted))
		if accepted.RPID != "example.org" || len(accepted.UserID) != 86 || len(accepted.AllAcceptedCredentialIDs) != 1 || !strings.Contains(string(signals.Details), kit.Ada) {
			k.Errorf("%s %s", signals.Accepted, signals.Details)
		}
	})
}

// A thief may have made a passkey before the owner sets a new password, or switches MFA on: the notice says that passkeys stay.
func TestTheNoticesOfAPasswordAndOfMFANamePasskeys(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		k.Must(k.Recover(k.Recovery()))
		if k.Mail(kit.Ada).HasPasskeys {
			k.Error("a user without passkeys is told of some")
		}
		session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
		k.Must(err)
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		k.Must(k.Recover(k.Recovery()))
		if m := k.Mail(kit.Ada); m.Kind != notify.PasswordChanged || !m.HasPasskeys {
			k.Errorf("%v %v", m, m.HasPasskeys)
		}
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, account.UserID(), true)))
		if m := k.Mail(kit.Ada); m.Change != notify.MFASwitchedOn || !m.HasPasskeys {
			k.Errorf("%v %v", m, m.HasPasskeys)
		}
	})
}

// An enrolment that is not taken is told to the browser, whatever the reason is (documented).
func TestAnEnrolmentThatIsTooLateIsTold(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		start, err := account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
		k.Must(err)
		answer, err := device().Create(start.Options)
		k.Must(err)
		k.Clock.Advance(5 * time.Minute)
		_, err = account.FinishPasskeyEnrolment(k.Ctx, answer, "")
		if _, is := errors.AsType[*latchkey.UnknownPasskeyError](err); !is {
			k.Errorf("%T %v", err, err)
		}
	})
}

// The signal "unknown" makes a browser hide or delete the passkey: it is not given for one that another user of the service has.
func TestAPasskeyOfAnotherUserIsNotCalledUnknown(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		_, ada := k.SignIn(kit.Ada)
		_, bob := k.SignIn(kit.Bob)
		of, other := device(), device()
		k.Enrol(ada, of, latchkey.PasskeyEnrolment{})
		k.Enrol(bob, other, latchkey.PasskeyEnrolment{})
		start, err := ada.StartPasskeyChallenge(k.Ctx)
		k.Must(err)
		var o map[string]map[string]any
		k.Must(json.Unmarshal(start.Options, &o))
		delete(o["publicKey"], "allowCredentials")
		text, err := json.Marshal(o)
		k.Must(err)
		answer, err := other.Get(text)
		k.Must(err)
		_, err = ada.FinishPasskeyChallenge(k.Ctx, answer)
		if u, is := errors.AsType[*latchkey.UnknownPasskeyError](err); is {
			k.Errorf("the browser is told to forget a passkey of Bob: %s", u.Signal)
		}
	})
}

// A refused copy is told as one that is let in: the user should know.
func TestARefusedCopyIsTold(t *testing.T) {
	policy := kit.Documented
	policy.Factors.RefuseClonedPasskeys = true
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		d.Counting = true
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		d.SetCount(10)
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		k.Forget()
		d.SetCount(4)
		if _, err := k.SignInByPasskey(k.Visitor, d); err == nil {
			k.Fatal("in")
		}
		list, err := account.Passkeys(k.Ctx)
		k.Must(err)
		if list.Passkeys[0].ClonedAt.IsZero() {
			k.Errorf("no mark; events %v", k.Events())
		}
	})
}

// A refusal that leaves the question open says nothing to the browser: the page sends the same answer once more, and the passkey is
// taken.
func TestAnAnswerMayComeAgainWhileItsQuestionIsOpen(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		guest := k.LimitedEngine(nil).Guest(kit.Client)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		start, err := account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
		k.Must(err)
		answer, err := device().Create(start.Options)
		k.Must(err)
		finish := func(a *latchkey.Account, name string) error {
			return kit.Err(a.FinishPasskeyEnrolment(k.Ctx, answer, name))
		}
		open := func(what string, want, err error) {
			if _, told := errors.AsType[*latchkey.UnknownPasskeyError](err); told || !errors.Is(err, want) {
				k.Errorf("%s: %v", what, err)
			}
		}
		open("a long name", latchkey.ErrArgumentInvalid, finish(account, strings.Repeat("x", 65)))
		renewed, err := account.RotateSession(k.Ctx)
		k.Must(err)
		open("a renewed session", latchkey.ErrSessionRenewed, finish(account, ""))
		account, err = guest.Authenticate(k.Ctx, renewed.Secret.Reveal())
		k.Must(err)
		for range 600 {
			if err := kit.Err(account.UpdateName(k.Ctx, "Ada")); err != nil {
				break
			}
		}
		err = finish(account, "")
		open("too many changes", latchkey.ErrRateLimitExceeded, err)
		if _, is := errors.AsType[*latchkey.ThrottledError](err); !is {
			k.Errorf("%T", err)
		}
		account, err = k.Visitor.Authenticate(k.Ctx, renewed.Secret.Reveal()) // of a machine that counts apart
		k.Must(err)
		k.Must(finish(account, ""))
	})
}

// A page may send an answer twice, for example after a double click. The second answer comes while the first one is being taken.
// It must not tell the browser to forget the passkey that the first one has made.
func TestATwinOfAnAnswerForgetsNoPasskey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := k.Anonymous()
		answer := created(k, account, device())
		var twin, first error
		atCommit(k, 2, func() { _, twin = account.FinishPasskeyEnrolment(k.Ctx, answer, "") }, func() {
			_, first = account.FinishPasskeyEnrolment(k.Ctx, answer, "")
		})
		k.Must(first)
		k.Same("passkeys", k.Rows()["passkeys"], 1)
		if unknown, told := errors.AsType[*latchkey.UnknownPasskeyError](twin); told {
			k.Errorf("the browser is told to forget a passkey that was taken: %s", unknown.Signal)
		}
	})
}

// An answer that comes in another session leaves the question open. So the browser is not told to forget the passkey, which the right
// session can still take.
func TestAnAnswerInAnotherSessionForgetsNoPasskey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		_, other := k.SignIn(kit.Ada)
		answer := created(k, account, device())
		_, err := other.FinishPasskeyEnrolment(k.Ctx, answer, "")
		_, told := errors.AsType[*latchkey.UnknownPasskeyError](err)
		_, err = account.FinishPasskeyEnrolment(k.Ctx, answer, "")
		k.Must(err)
		if told {
			k.Error("the browser is told to forget a passkey that was taken after that")
		}
	})
}
