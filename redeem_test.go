package latchkey_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// AC-036: five wrong codes void a code; AC-048: what is counted is committed.
func TestAC036AndAC048FiveWrongCodesVoidACode(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		token, secret := k.askCode(ada)
		for n := range 5 {
			rows, err := record.Tokens.List(k.ctx, k.raw, store.Query{Index: record.Tokens.Primary(), Limit: 10})
			k.must(err)
			if len(rows) != 1 || rows[0].Failures != int64(n) {
				k.Fatalf("before guess %d: %+v", n+1, rows)
			}
			if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, other(secret))); err != latchkey.ErrInvalidToken {
				k.Errorf("guess %d: %v", n+1, err)
			}
		}
		if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, secret)); err != latchkey.ErrInvalidToken {
			k.Errorf("the right code after five wrong ones: %v", err)
		}
		if lines := k.logs(); !slices.Contains(lines, "session.refuse by guest for user_invalid_token, 5") && !slices.Contains(lines, "session.refuse by guest for user_invalid_token, 6") {
			k.Errorf("%q", lines)
		}
	})
}

// AC-037, AC-049: new codes, other ids, other spellings and other names of the
// call do not begin the count anew. AC-050: nor does a password.
func TestAC037AndAC049NewCodesDoNotResetTheCount(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		guesses := 0
		for round := range 30 {
			email := []string{ada, "ADA@example.org", "Ada@Example.Org"}[round%3]
			token, err := k.guest.CreateEmailToken(k.ctx, latchkey.NewEmailToken{UserID: fmt.Sprint("id", round), Email: email})
			k.must(err)
			wrong := other(k.mail(ada).Secret)
			for n := range 4 {
				name := []string{"CreateSession", "UpdateMagicURLSession", "UpdatePhoneSession"}[n%3]
				var slowed *latchkey.ThrottledError
				err := ignore(redeemers[name](k.guest, k.ctx, token.UserID, wrong))
				if errors.As(err, &slowed) {
					if guesses != 11 || slowed.RetryAfter != 30*time.Second {
						k.Errorf("slowed after %d guesses for %v", guesses, slowed.RetryAfter)
					}
					k.clock.Advance(slowed.RetryAfter)
					if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, wrong)); err != latchkey.ErrInvalidToken {
						k.Errorf("after the wait: %v", err)
					}
					return
				}
				guesses++
			}
		}
		k.Errorf("%d guesses, and nothing was slowed", guesses)
	})
}

// AC-051: strangers who fail at codes do not keep the owner out where they have
// signed in before.
func TestAC051StrangersDoNotSlowAKnownClient(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		token, secret := k.askCode(ada)
		session, err := k.guest.CreateSession(k.ctx, token.UserID, secret)
		k.must(err)
		stranger := k.Guest(at("198.51.100.9"))
		for range 4 {
			k.must(ignore(stranger.CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: ada})))
			wrong := other(k.mail(ada).Secret)
			for range 4 {
				_ = ignore(stranger.CreateSession(k.ctx, session.UserID, wrong))
			}
		}
		token, secret = k.askCode(ada)
		var slowed *latchkey.ThrottledError
		if err := ignore(stranger.CreateSession(k.ctx, session.UserID, secret)); !errors.As(err, &slowed) {
			k.Errorf("the stranger: %v", err)
		}
		k.must(ignore(k.guest.CreateSession(k.ctx, token.UserID, secret)))
	})
}

// AC-061, AC-063: the first proof of a mailbox ends what somebody else may have
// planted in its account.
func TestAC061AndAC063FirstProofDropsWhatWasPlanted(t *testing.T) {
	for name, ask := range askers {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				user := k.signUp(ada) // by somebody who does not own the address
				session, account := k.signIn(ada)
				k.must(ignore(account.UpdatePhone(k.ctx, phone, password)))
				planted, err := k.Users().CreateToken(k.ctx, user.ID, 32, time.Hour)
				k.must(err)
				token, err := ask(k, k.guest, "")
				k.must(err)
				to, dropped := ada, phone
				if name == "SMS code" {
					to, dropped = phone, ada
				}
				m := k.mail(to)
				k.forget()
				mine, err := k.guest.CreateSession(k.ctx, token.UserID, m.Secret)
				k.must(err)
				if err := ignore(k.guest.Authenticate(k.ctx, session.Secret)); err != latchkey.ErrUnauthorized {
					k.Errorf("the planted session: %v", err)
				}
				if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, password)); err != latchkey.ErrInvalidCredentials {
					k.Errorf("the planted password: %v", err)
				}
				if err := ignore(k.guest.CreateSession(k.ctx, user.ID, planted.Secret.Reveal())); err != latchkey.ErrInvalidToken {
					k.Errorf("the planted token: %v", err)
				}
				shown, err := k.Users().Get(k.ctx, user.ID)
				k.must(err)
				if mine.UserID != user.ID || shown.Email == dropped || shown.Phone == dropped || !shown.PasswordUpdate.IsZero() ||
					shown.EmailVerification == shown.PhoneVerification {
					k.Errorf("%+v", shown)
				}
			})
		})
	}
}

// AC-062: an account that has proven another address keeps to itself; who
// proves the one that it only claimed gets an account of their own.
func TestAC062ProvenAccountIsNotHandedOver(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		code, err := k.guest.CreatePhoneToken(k.ctx, "", phone)
		k.must(err)
		session, err := k.guest.CreateSession(k.ctx, code.UserID, k.mail(phone).Secret)
		k.must(err)
		account, err := k.guest.Authenticate(k.ctx, session.Secret)
		k.must(err)
		k.must(ignore(account.UpdateEmail(k.ctx, ada, password)))
		link, err := k.guest.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada})
		k.must(err)
		mine, err := k.guest.CreateSession(k.ctx, link.UserID, k.mail(ada).Secret)
		k.must(err)
		if mine.UserID == session.UserID {
			k.Error("the account of another")
		}
		user, err := account.User(k.ctx)
		k.must(err)
		if user.Email != "" || user.Phone != phone || !user.PhoneVerification {
			k.Errorf("%+v", user)
		}
	})
}

// AC-016: open tokens end with a password, and with the address that they were
// sent to.
func TestAC016ChangesEndOpenTokens(t *testing.T) {
	for name, change := range map[string]func(k *kit, a *latchkey.Account) error{
		"password": func(k *kit, a *latchkey.Account) error {
			return ignore(a.UpdatePassword(k.ctx, "another horse", password))
		},
		"password by server": func(k *kit, a *latchkey.Account) error {
			return ignore(k.Users().UpdatePassword(k.ctx, a.UserID(), "another horse"))
		},
		"e-mail": func(k *kit, a *latchkey.Account) error {
			return ignore(a.UpdateEmail(k.ctx, "new@example.org", password))
		},
		"e-mail by server": func(k *kit, a *latchkey.Account) error { return ignore(k.Users().UpdateEmail(k.ctx, a.UserID(), "")) },
		"deletion":         func(k *kit, a *latchkey.Account) error { return k.Users().Delete(k.ctx, a.UserID()) },
		"the user is blocked": func(k *kit, a *latchkey.Account) error {
			k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, a.UserID(), true)))
			return ignore(k.Users().UpdateStatus(k.ctx, a.UserID(), false))
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				early, err := k.guest.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada}) // before anybody has it
				k.must(err)
				secrets := map[string]string{k.mail(ada).Secret: early.UserID}
				k.signUp(ada)
				_, account := k.signIn(ada)
				code, secret := k.askCode(ada)
				secrets[secret] = code.UserID
				k.must(change(k, account))
				for secret, id := range secrets {
					if err := ignore(k.guest.CreateSession(k.ctx, id, secret)); err != latchkey.ErrInvalidToken && err != latchkey.ErrUserBlocked {
						k.Errorf("a token from before: %v", err)
					}
				}
			})
		})
	}
}

// AC-036, at a client that is known: what a user has live is charged once for one
// wrong code, wherever it was sent.
func TestKnownClientIsSlowedForAllCodesTogether(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.signIn(ada)
		live := func() string {
			k.must(ignore(k.Users().CreateToken(k.ctx, user.ID, 6, 0)))
			_, code := k.askCode(ada)
			return code
		}
		compared := 0
		for range 4 {
			code := live()
			for range 5 {
				if ignore(k.guest.CreateSession(k.ctx, user.ID, other(code))) == latchkey.ErrInvalidToken {
					compared++
				}
			}
		}
		if compared != 11 {
			k.Errorf("%d compared", compared)
		}
		var slowed *latchkey.ThrottledError
		if err := ignore(k.guest.CreateSession(k.ctx, user.ID, live())); !errors.As(err, &slowed) {
			k.Errorf("the right one: %v", err)
		}
	})
}

// AC-003: a public id does not tell, by being slowed, which address it has.
func TestIdDoesNotTellItsAddressByBeingSlowed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		stranger := k.Guest(at("203.0.113.99"))
		slow := func(email string) {
			for range 3 {
				token, err := stranger.CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: email})
				k.must(err)
				for range 4 {
					_ = ignore(stranger.CreateSession(k.ctx, token.UserID, "0000000"))
				}
			}
		}
		for _, email := range []string{"nobody@example.org", ada} {
			slow(email)
			if err := ignore(stranger.CreateSession(k.ctx, user.ID, "0000000")); err != latchkey.ErrInvalidToken {
				k.Errorf("after %s was slowed: %v", email, err)
			}
		}
		for range 12 { // and the other way round
			_ = ignore(stranger.CreateSession(k.ctx, user.ID, "0000000"))
		}
		for _, email := range []string{"another@example.org", "bob@example.org"} {
			k.must(ignore(k.Users().UpdateEmail(k.ctx, user.ID, email)))
			token, err := stranger.CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: email})
			k.must(err)
			if err := ignore(stranger.CreateSession(k.ctx, token.UserID, "0000000")); err != latchkey.ErrInvalidToken {
				k.Errorf("%s after its id was slowed: %v", email, err)
			}
		}
	})
}

// AC-061: networks from which the account was used before its first proof are
// known no more.
func TestPlantedNetworksAreForgotten(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		var planted []*latchkey.Guest
		for i := range 5 {
			g := k.Guest(at(fmt.Sprintf("198.51.100.%d", i+1)))
			k.must(ignore(g.CreateEmailPasswordSession(k.ctx, ada, password)))
			planted = append(planted, g)
		}
		token, code := k.askCode(ada)
		k.must(ignore(k.guest.CreateSession(k.ctx, token.UserID, code)))
		wrong := 0
		for _, g := range planted {
			for range 2 {
				_, code := k.askCode(ada)
				for range 5 {
					if ignore(g.CreateSession(k.ctx, user.ID, other(code))) == latchkey.ErrInvalidToken {
						wrong++
					}
				}
			}
		}
		if wrong > 11 {
			k.Errorf("%d compared", wrong)
		}
	})
}

// AC-061: who signs up with somebody's address and blocks the account does not
// keep its owner out.
func TestBlockedSquatterDoesNotHoldTheAddress(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		squatter := k.signUp(ada)
		_, account := k.signIn(ada)
		k.must(ignore(account.UpdateStatus(k.ctx)))
		token, code := k.askCode(ada)
		session, err := k.guest.CreateSession(k.ctx, token.UserID, code)
		k.must(err)
		user, err := k.Users().Get(k.ctx, squatter.ID)
		k.must(err)
		if session.UserID == squatter.ID || user.Email != "" || user.Status {
			k.Errorf("%+v, %+v", session, user)
		}
	})
}

// AC-051: tokens of others under an id do not stop the right code.
func TestTokensOfOthersUnderAnIdStopNothing(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		ask := func(id, to string) *latchkey.Token {
			token, err := k.guest.CreateEmailToken(k.ctx, latchkey.NewEmailToken{UserID: id, Email: to})
			k.must(err)
			return token
		}
		for range 3 {
			token := ask("", "evil@example.net")
			for range 4 {
				_ = ignore(k.guest.CreateSession(k.ctx, token.UserID, "0000000"))
			}
		}
		ask("bob", "evil@example.net") // slowed
		mine := ask("bob", ada)
		for i := range 3 {
			k.must(ignore(k.guest.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{UserID: "bob", Email: fmt.Sprintf("evil%d@example.net", i)})))
		}
		k.must(ignore(k.guest.CreateSession(k.ctx, "bob", k.mailOf(mine, ada).Secret)))
		token, err := k.Users().CreateToken(k.ctx, "bob", 64, 0)
		k.must(err)
		for range 12 {
			_ = ignore(k.Guest(at("203.0.113.99")).CreateSession(k.ctx, "bob", "000000"))
		}
		k.must(ignore(k.guest.CreateSession(k.ctx, "bob", token.Secret.Reveal())))
	})
}

// AC-037: a client that is known to the user of an id is not known to the
// addresses of others that were promised the same id.
func TestKnownClientHasNoCountOfItsOwnForOthersAddresses(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.must(ignore(k.guest.CreateEmailToken(k.ctx, latchkey.NewEmailToken{UserID: "mallory", Email: ada})))
		k.must(ignore(k.Users().Create(k.ctx, latchkey.NewUser{UserID: "mallory", Email: "mallory@example.org", Password: password})))
		k.must(ignore(k.guest.CreateEmailPasswordSession(k.ctx, "mallory@example.org", password)))
		want := func(n int64) {
			rows, err := record.Failures.List(k.ctx, k.raw, store.Query{Index: record.Failures.Primary(), Limit: 10})
			k.must(err)
			var counts []int64
			for _, f := range rows {
				if f.Purpose == "code" {
					counts = append(counts, f.Count)
				}
			}
			if !slices.Equal(counts, []int64{n}) {
				k.Errorf("counts %v, want one of %d", counts, n)
			}
		}
		for n := range 2 { // here, and where nobody is known: one count
			_ = ignore(k.guest.CreateSession(k.ctx, "mallory", "00000x"))
			want(int64(2*n + 1))
			_ = ignore(k.Guest(at("203.0.113.99")).CreateSession(k.ctx, "mallory", "00000x"))
			want(int64(2*n + 2))
		}
	})
}
