package latchkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/passkey"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

// without returns the rows of every table but some.
func without(k *kit.Kit, tables ...string) map[string][]string {
	k.Helper()
	rows := k.Everything()
	maps.DeleteFunc(rows, func(table string, _ []string) bool { return slices.Contains(tables, table) })
	return rows
}

// changes reports an operation that changes other tables than some.
func changes(k *kit.Kit, what string, do func(), tables ...string) {
	k.Helper()
	before := without(k, tables...)
	do()
	if diff := cmp.Diff(before, without(k, tables...)); diff != "" {
		k.Errorf("%s changed the store (-before +after):\n%s", what, diff)
	}
}

// atCommit runs change before the n-th transaction of an operation.
func atCommit(k *kit.Kit, n int, change, do func()) {
	count, hook := 0, k.Store.Hook
	k.Store.Hook = func(c storetest.Call) error {
		if c.Name == "Commit" && !c.Done {
			if count++; count == n {
				change()
			}
		}
		return hook(c)
	}
	do()
	k.Store.Hook = hook
	if count < n {
		k.Errorf("%d transactions", count)
	}
}

// challenged returns the answer of a device to a question for a step-up or a second factor.
func challenged(k *kit.Kit, a interface {
	StartPasskeyChallenge(context.Context) (*latchkey.PasskeyCeremony, error)
}, d *authtest.Device) []byte {
	k.Helper()
	start, err := a.StartPasskeyChallenge(k.Ctx)
	k.Must(err)
	answer, err := d.Get(start.Options)
	k.Must(err)
	return answer
}

// created returns the answer of a device with a new passkey.
func created(k *kit.Kit, a *latchkey.Account, d *authtest.Device) []byte {
	k.Helper()
	start, err := a.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
	k.Must(err)
	answer, err := d.Create(start.Options)
	k.Must(err)
	return answer
}

// stored returns the row of the only passkey.
func stored(k *kit.Kit) *record.Passkey {
	k.Helper()
	rows, err := record.Passkeys.List(k.Ctx, k.Raw, store.Query{Index: record.Passkeys.Primary(), Limit: 2})
	k.Must(err)
	if len(rows) != 1 {
		k.Fatalf("%d passkeys", len(rows))
	}
	return rows[0]
}

// edited changes the members of an answer.
func edited(k *kit.Kit, answer []byte, change func(all, response map[string]any)) []byte {
	k.Helper()
	var all map[string]any
	k.Must(json.Unmarshal(answer, &all))
	change(all, all["response"].(map[string]any))
	text, err := json.Marshal(all)
	k.Must(err)
	return text
}

// wantOf is the error of the engine for an answer with a flaw.
func wantOf(f authtest.Flaw) error {
	if f.Unreadable {
		return latchkey.ErrArgumentInvalid
	}
	return latchkey.ErrPasskeyRefused
}

// An answer with a flaw makes no passkey. It uses the question up if it can be read.
func TestEachFlawOfAnEnrolmentIsRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Must(kit.Err(account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{}))) // makes the handle of the user
		for _, flaw := range authtest.EnrolmentFlaws() {
			changes(k, flaw.Name, func() {
				k.DeleteCeremonies()
				start, err := account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
				k.Must(err)
				answer, err := d.CreateWith(flaw, start.Options)
				k.Must(err)
				k.Forget()
				_, err = account.FinishPasskeyEnrolment(k.Ctx, answer, "")
				if !errors.Is(err, wantOf(flaw)) {
					k.Errorf("%s: %v, want %v", flaw.Name, err, wantOf(flaw))
				}
				if told := k.Told.Take(); len(told) != 0 {
					k.Errorf("%s was told: %v", flaw.Name, told)
				}
				if open := k.Rows()["ceremonies"] == 1; open != (flaw.Unreadable || flaw.Name == "another challenge") {
					k.Errorf("%s: the question is open: %v", flaw.Name, open)
				}
			}, "ceremonies", "logs")
		}
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
	})
}

// An answer with a flaw makes no session, and is no second factor. It uses the question up if it can be read.
func TestEachFlawOfAProofIsRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, d := k.Keyed()
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		_, pending := k.Owing(k.Visitor)
		for _, flaw := range authtest.ProofFlaws() {
			for name, ceremony := range map[string]struct {
				start  func() (*latchkey.PasskeyCeremony, error)
				finish func([]byte) error
			}{
				"sign-in": {
					func() (*latchkey.PasskeyCeremony, error) {
						return k.Visitor.StartPasskeySession(k.Ctx, latchkey.PasskeyOffer{})
					},
					func(answer []byte) error { return kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, answer)) },
				},
				"step-up": {
					func() (*latchkey.PasskeyCeremony, error) { return account.StartPasskeyChallenge(k.Ctx) },
					func(answer []byte) error { return kit.Err(account.FinishPasskeyChallenge(k.Ctx, answer)) },
				},
				"second factor": {
					func() (*latchkey.PasskeyCeremony, error) { return pending.StartPasskeyChallenge(k.Ctx) },
					func(answer []byte) error { return kit.Err(pending.FinishPasskeyChallenge(k.Ctx, answer)) },
				},
			} {
				what := name + ", " + flaw.Name
				if name == "second factor" {
					_, pending = k.Owing(k.Visitor) // a pending session is short
				}
				changes(k, what, func() {
					k.DeleteCeremonies()
					start, err := ceremony.start()
					k.Must(err)
					answer, err := d.GetWith(flaw, start.Options)
					k.Must(err)
					k.Forget()
					if err := ceremony.finish(answer); !errors.Is(err, wantOf(flaw)) {
						k.Errorf("%s: %v, want %v", what, err, wantOf(flaw))
					}
					if told := k.Told.Take(); len(told) != 0 {
						k.Errorf("%s was told: %v", what, told)
					}
					if open := k.Rows()["ceremonies"] == 1; open != (flaw.Unreadable || flaw.Name == "another challenge") {
						k.Errorf("%s: the question is open: %v", what, open)
					}
				}, "ceremonies", "logs", "failures")
				k.Clock.Advance(time.Hour) // wrong answers slow the factor
			}
		}
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		stepUp(k, account, d)
	})
}

// A passkey that signs in is made by an authenticator that has verified its user.
func TestAnEnrolmentWithoutVerificationIsRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		d.Unverified = true
		answer := created(k, account, d)
		changes(k, "an enrolment", func() {
			err := kit.Err(account.FinishPasskeyEnrolment(k.Ctx, answer, ""))
			if _, told := errors.AsType[*latchkey.UnknownPasskeyError](err); !errors.Is(err, latchkey.ErrPasskeyRefused) || !told {
				k.Errorf("%T %v", err, err)
			}
		}, "ceremonies", "logs")
	})
}

// A right answer is good once, in its session and for five minutes.
func TestAnEnrolmentIsAnsweredOnceInItsSession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		_, account := k.SignIn(kit.Ada)
		_, other := k.SignIn(kit.Ada)
		_, bob := k.SignIn(kit.Bob)
		d := device()
		answer := created(k, account, d)
		for name, a := range map[string]*latchkey.Account{"another session": other, "another user": bob} {
			if err := kit.Err(a.FinishPasskeyEnrolment(k.Ctx, answer, "")); !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Errorf("%s: %v", name, err)
			}
		}
		k.Must(kit.Err(account.FinishPasskeyEnrolment(k.Ctx, answer, "")))
		if err := kit.Err(account.FinishPasskeyEnrolment(k.Ctx, answer, "")); !errors.Is(err, latchkey.ErrPasskeyRefused) {
			k.Errorf("again: %v", err)
		}
		// A question of an enrolment is none of a proof, and the other way round.
		start, err := account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
		k.Must(err)
		var options struct {
			PublicKey struct{ Challenge string }
		}
		k.Must(json.Unmarshal(start.Options, &options))
		crossed, err := d.Get([]byte(`{"publicKey":{"rpId":"example.org","challenge":"` + options.PublicKey.Challenge + `"}}`))
		k.Must(err)
		for name, err := range map[string]error{
			"a step-up": kit.Err(account.FinishPasskeyChallenge(k.Ctx, crossed)),
			"a sign-in": kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, crossed)),
		} {
			if !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Errorf("%s with the question of an enrolment: %v", name, err)
			}
		}
		answer = challenged(k, account, d)
		k.Clock.Advance(5 * time.Minute)
		if err := kit.Err(account.FinishPasskeyChallenge(k.Ctx, answer)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
			k.Errorf("after five minutes: %v", err)
		}
		answer = challenged(k, account, d)
		k.Clock.Advance(5*time.Minute - time.Second)
		session, err := account.FinishPasskeyChallenge(k.Ctx, answer)
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		if err := kit.Err(account.FinishPasskeyChallenge(k.Ctx, answer)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
			k.Errorf("a proof again: %v", err)
		}
	})
}

// The count of a passkey rises, or the passkey is marked as one of which there is a copy. The highest count stays. A passkey that is
// bound to its device is refused then by the strict policy.
func TestTheCountOfAPasskeyRises(t *testing.T) {
	const most = 1<<32 - 1
	for _, strict := range []bool{false, true} {
		policy := kit.Documented
		policy.Factors.RefuseClonedPasskeys = strict
		kit.OnEveryStore(t, policy, func(k *kit.Kit) {
			for _, c := range []struct {
				had, got, kept uint32
				copied         bool
			}{
				{0, 0, 0, false}, {0, 1, 1, false}, {10, 11, 11, false}, {10, 10, 10, true}, {10, 9, 10, true}, {10, 0, 10, true},
				{most - 1, most, most, false}, {most, most, most, true}, {most, 0, most, true}, {most, 1, most, true},
			} {
				for _, syncable := range []bool{false, true} {
					what := fmt.Sprintf("%d after %d, syncable %v", c.got, c.had, syncable)
					k.SignUp(kit.Ada)
					_, account := k.SignIn(kit.Ada)
					d := device()
					d.Syncable = syncable
					k.Enrol(account, d, latchkey.PasskeyEnrolment{})
					d.SetCount(c.had)
					k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
					k.Clock.Advance(time.Minute)
					d.SetCount(c.got)
					refused := c.copied && strict && !syncable
					if _, err := k.SignInByPasskey(k.Visitor, d); refused != errors.Is(err, latchkey.ErrPasskeyRefused) || !refused && err != nil {
						k.Errorf("%s: %v", what, err)
					}
					p := stored(k)
					if p.Count != int64(c.kept) || p.Cloned.Equal(k.Clock.Now()) != c.copied || p.Used.Equal(k.Clock.Now()) == refused {
						k.Errorf("%s: count %d, copied %v, used %v", what, p.Count, p.Cloned, p.Used)
					}
					k.DeleteAll()
				}
			}
		})
	}
}

// The flag BE rises at a proof, in each ceremony, and does not fall.
func TestAPasskeyStaysSyncable(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		d.Syncable = true
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		d.Syncable = false
		changes(k, "a passkey that is syncable no more", func() {
			if _, err := k.SignInByPasskey(k.Visitor, d); !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Errorf("a sign-in: %v", err)
			}
			if err := kit.Err(account.FinishPasskeyChallenge(k.Ctx, challenged(k, account, d))); !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Errorf("a step-up: %v", err)
			}
		}, "ceremonies", "logs", "failures")
	})
}

// A passkey becomes syncable between the comparison of an answer that says otherwise, and its use.
func TestAPasskeyBecomesSyncableMeanwhile(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		bound, stepUp := k.Offered(k.Visitor, d), challenged(k, account, d)
		grown := *d
		grown.Syncable, grown.Synced = true, true
		meanwhile := func() { k.Must(kit.Err(k.SignInByPasskey(k.Visitor, &grown))) }
		atCommit(k, 2, meanwhile, func() {
			if err := kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, bound)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Errorf("a sign-in: %v", err)
			}
		})
		if err := kit.Err(account.FinishPasskeyChallenge(k.Ctx, stepUp)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
			k.Errorf("a step-up: %v", err)
		}
		if p := stored(k); !p.Eligible || !p.Synced {
			k.Errorf("%+v", p)
		}
	})
}

// The passkey and the user that an answer names belong together.
func TestAnAnswerNamesTheUserOfItsPasskey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		_, ada := k.SignIn(kit.Ada)
		_, bob := k.SignIn(kit.Bob)
		of, other := device(), device()
		k.Enrol(ada, of, latchkey.PasskeyEnrolment{})
		k.Enrol(bob, other, latchkey.PasskeyEnrolment{})
		var bobs struct {
			ID       string
			Response struct{ UserHandle string }
		}
		k.Must(json.Unmarshal(k.Offered(k.Visitor, other), &bobs))
		for name, change := range map[string]func(all, response map[string]any){
			"the passkey of another user": func(all, _ map[string]any) { all["id"], all["rawId"] = bobs.ID, bobs.ID },
			"the handle of another user":  func(_, response map[string]any) { response["userHandle"] = bobs.Response.UserHandle },
			"passkey and handle of another user": func(all, response map[string]any) {
				all["id"], all["rawId"], response["userHandle"] = bobs.ID, bobs.ID, bobs.Response.UserHandle
			},
			"no handle": func(_, response map[string]any) { delete(response, "userHandle") },
		} {
			changes(k, name, func() {
				answer := edited(k, k.Offered(k.Visitor, of), change)
				if err := kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, answer)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
					k.Errorf("a sign-in, %s: %v", name, err)
				}
			}, "ceremonies", "logs")
			if name == "no handle" { // the session says whose the answer is
				continue
			}
			changes(k, name, func() {
				answer := edited(k, challenged(k, ada, of), change)
				if err := kit.Err(ada.FinishPasskeyChallenge(k.Ctx, answer)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
					k.Errorf("a step-up, %s: %v", name, err)
				}
			}, "ceremonies", "logs", "failures")
			k.Clock.Advance(time.Hour)
		}
		// A step-up by the right signature of another user's passkey.
		start, err := ada.StartPasskeyChallenge(k.Ctx)
		k.Must(err)
		var asked map[string]map[string]any
		k.Must(json.Unmarshal(start.Options, &asked))
		delete(asked["publicKey"], "allowCredentials")
		open, err := json.Marshal(asked)
		k.Must(err)
		answer, err := other.Get(open)
		k.Must(err)
		changes(k, "a proof by another user", func() {
			if err := kit.Err(ada.FinishPasskeyChallenge(k.Ctx, answer)); !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Errorf("a proof by another user: %v", err)
			}
		}, "ceremonies", "logs", "failures")
	})
}

// An answer without a handle is good in a session, because the session says whose it is.
func TestAStepUpNeedsNoHandle(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, d := k.Keyed()
		answer := edited(k, challenged(k, account, d), func(_, response map[string]any) { delete(response, "userHandle") })
		k.Must(kit.Err(account.FinishPasskeyChallenge(k.Ctx, answer)))
	})
}

// A passkey that is deleted before its answer comes, or while it is compared, proves nothing.
func TestAPasskeyIsDeletedMeanwhile(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for _, ceremony := range []string{"sign-in", "step-up", "second factor"} {
			for _, late := range []bool{false, true} { // late: after the comparison
				what := fmt.Sprintf("%s, late %v", ceremony, late)
				user := k.SignUp(kit.Ada)
				_, account := k.SignIn(kit.Ada)
				d, rest := device(), device()
				lost := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
				k.Enrol(account, rest, latchkey.PasskeyEnrolment{})
				var finish func() error
				switch ceremony {
				case "sign-in":
					answer := k.Offered(k.Visitor, d)
					finish = func() error { return kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, answer)) }
				case "step-up":
					answer := challenged(k, account, d)
					finish = func() error { return kit.Err(account.FinishPasskeyChallenge(k.Ctx, answer)) }
				case "second factor":
					k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
					_, pending := k.Owing(k.Visitor)
					answer := challenged(k, pending, d)
					finish = func() error { return kit.Err(pending.FinishPasskeyChallenge(k.Ctx, answer)) }
				}
				var sessions []string
				deleted := func() {
					k.Must(k.Users().DeletePasskey(k.Ctx, user.ID, lost.ID))
					sessions = k.Everything()["sessions"]
				}
				want := latchkey.ErrPasskeyUnknown
				if late {
					want = latchkey.ErrPasskeyRefused
					atCommit(k, 2, deleted, func() {
						if err := finish(); !errors.Is(err, want) {
							k.Errorf("%s: %v, want %v", what, err, want)
						}
					})
				} else {
					deleted()
					err := finish()
					if !errors.Is(err, want) {
						k.Errorf("%s: %v, want %v", what, err, want)
					}
					if unknown, is := errors.AsType[*latchkey.UnknownPasskeyError](err); !is || !strings.Contains(string(unknown.Signal), `"rpId":"example.org"`) {
						k.Errorf("%s: %T", what, err)
					}
				}
				k.Same(what, k.Everything()["sessions"], sessions)
				k.DeleteAll()
			}
		}
	})
}

// An answer has no effect if its user was blocked meanwhile.
func TestAUserIsBlockedMeanwhile(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for _, ceremony := range []string{"sign-in", "step-up", "second factor", "enrolment"} {
			for _, late := range []bool{false, true} { // late: after the comparison
				what := fmt.Sprintf("%s, late %v", ceremony, late)
				user := k.SignUp(kit.Ada)
				_, account := k.SignIn(kit.Ada)
				d := device()
				k.Enrol(account, d, latchkey.PasskeyEnrolment{})
				k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
				_, pending := k.Owing(k.Visitor)
				var finish func() error
				switch ceremony {
				case "sign-in":
					answer := k.Offered(k.Visitor, d)
					finish = func() error { return kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, answer)) }
				case "step-up":
					answer := challenged(k, account, d)
					finish = func() error { return kit.Err(account.FinishPasskeyChallenge(k.Ctx, answer)) }
				case "second factor":
					answer := challenged(k, pending, d)
					finish = func() error { return kit.Err(pending.FinishPasskeyChallenge(k.Ctx, answer)) }
				case "enrolment":
					answer := created(k, account, device())
					finish = func() error { return kit.Err(account.FinishPasskeyEnrolment(k.Ctx, answer, "")) }
				}
				var before map[string][]string
				blocked := func() {
					k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)))
					before = without(k, "ceremonies", "logs")
				}
				try := func() {
					if err := finish(); !errors.Is(err, latchkey.ErrUserBlocked) && !errors.Is(err, latchkey.ErrUnauthorized) {
						k.Errorf("%s: %v", what, err)
					}
				}
				if late {
					atCommit(k, 2, blocked, try)
				} else {
					blocked()
					try()
				}
				k.Same(what, without(k, "ceremonies", "logs"), before)
				k.DeleteAll()
			}
		}
	})
}

// A session that owes a factor enrols no passkey, also if it came to owe it between the question and the answer.
func TestASessionThatOwesAFactorEnrolsNothing(t *testing.T) {
	pending := reflect.TypeFor[*latchkey.Pending]()
	for _, name := range []string{"StartPasskeyEnrolment", "FinishPasskeyEnrolment", "DeletePasskey", "RenamePasskey"} {
		if _, has := pending.MethodByName(name); has {
			t.Errorf("a pending session has %s", name)
		}
	}
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, thief := k.SignIn(kit.Ada)
		early := created(k, thief, device())
		_, account := k.SignIn(kit.Ada)
		k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		changes(k, "an enrolment", func() {
			err := kit.Err(thief.FinishPasskeyEnrolment(k.Ctx, early, ""))
			if _, told := errors.AsType[*latchkey.UnknownPasskeyError](err); told || !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
				k.Errorf("finish: %T %v", err, err) // the question is open
			}
			if err := kit.Err(thief.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
				k.Errorf("start: %v", err)
			}
			if err := kit.Err(thief.Passkeys(k.Ctx)); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
				k.Errorf("list: %v", err)
			}
		}, "logs")
	})
}

// After a recovery by mail, the new session of an account with a passkey enrols none without it.
func TestARecoveredSessionEnrolsNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		early := created(k, account, device())
		k.Must(k.Recover(k.Recovery()))
		if err := kit.Err(account.FinishPasskeyEnrolment(k.Ctx, early, "")); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("the session from before: %v", err)
		}
		session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
		k.Must(err)
		recovered, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Refuses("an enrolment", latchkey.ErrChallengeRequired, func() error {
			return kit.Err(recovered.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{}))
		})
	})
}

// An anonymous account enrols a passkey where anyone may sign up. Where no one may, it does not, also if that came between the
// question and the answer.
func TestAnAnonymousAccountEnrolsWhereItMaySignUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		session, account := k.Anonymous()
		early := created(k, account, device())
		closed := k.Configured(func(c *latchkey.Config) { c.Policy.SignUp = latchkey.SignUpClosed })
		same, err := closed.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		changes(k, "an enrolment", func() {
			if err := kit.Err(same.FinishPasskeyEnrolment(k.Ctx, early, "")); !errors.Is(err, latchkey.ErrSignUpClosed) {
				k.Errorf("finish: %v", err)
			}
			if err := kit.Err(same.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})); !errors.Is(err, latchkey.ErrSignUpClosed) {
				k.Errorf("start: %v", err)
			}
		}, "logs")
		k.Must(kit.Err(account.FinishPasskeyEnrolment(k.Ctx, early, "")))
	})
}

// After a change of the RP id, the passkeys of the old one make no session, and prove nothing in one.
func TestPasskeysOfAnotherDomainProveNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		other, err := passkey.New(passkey.Config{RPID: "app.example.org", Name: "Example", Origins: []string{kit.Page}})
		k.Must(err)
		engine := k.Configured(func(c *latchkey.Config) { c.Passkeys, c.PasskeysOfOtherDomains = other, true })
		guest := engine.Guest(kit.Client)
		moved, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		offer, err := guest.StartPasskeySession(k.Ctx, latchkey.PasskeyOffer{})
		k.Must(err)
		if _, err := d.Get(offer.Options); err == nil {
			k.Error("the device answers another domain")
		}
		k.Refuses("a step-up", latchkey.ErrPasskeyNotFound, func() error { return kit.Err(moved.StartPasskeyChallenge(k.Ctx)) })
		old := func(options []byte) []byte { // a device that knows no better
			answer, err := d.Get([]byte(strings.Replace(string(options), `"rpId":"app.example.org"`, `"rpId":"example.org"`, 1)))
			k.Must(err)
			return answer
		}
		changes(k, "an answer of another domain", func() {
			if err := kit.Err(guest.FinishPasskeySession(k.Ctx, old(offer.Options))); !errors.Is(err, latchkey.ErrPasskeyRefused) {
				k.Errorf("a sign-in: %v", err)
			}
		}, "ceremonies", "logs", "failures")
	})
}
