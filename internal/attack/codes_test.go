package attack_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// AC-036: five wrong codes void a code. AC-048: the counts are committed.
func TestAC036AndAC048FiveWrongCodesVoidACode(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		token, secret := k.AskCode(kit.Ada)
		for n := range 5 {
			rows, err := record.Tokens.List(k.Ctx, k.Raw, store.Query{Index: record.Tokens.Primary(), Limit: 10})
			k.Must(err)
			if len(rows) != 1 || rows[0].Failures != int64(n) {
				k.Fatalf("before guess %d: %+v", n+1, rows)
			}
			if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, kit.OtherCode(secret))); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("guess %d: %v", n+1, err)
			}
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the right code after five wrong ones: %v", err)
		}
		if lines := k.Logs(); !slices.Contains(lines, "session.refuse by guest for user_invalid_token, 5") && !slices.Contains(lines, "session.refuse by guest for user_invalid_token, 6") {
			k.Errorf("%q", lines)
		}
	})
}

// AC-036, 037, 038, 048, 050: five wrong answers end a challenge. The eleventh wrong
// answer in a row is slowed, over any number of challenges. Wrong answers to one
// factor do not slow another.
func TestAC036AC037AC048AC050WrongAnswersAreCounted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app, codes := k.Enrolled(latchkey.NewMFAAuthenticator{})
		stranger := k.Guest(kit.At("203.0.113.1"))
		_, pending := k.Owing(stranger)
		wrong := func() string { return kit.OtherCode(app.Code()) }
		for round := range 2 {
			challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
			k.Must(err)
			for n := range 5 {
				if err := kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, wrong())); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("%d, %d: %v", round, n, err)
				}
			}
			if err := kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, app.Code())); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%d: after five: %v", round, err)
			}
		}
		_, pending = k.Owing(stranger) // a new sign-in does not clear the count
		if err := kit.Err(k.Answers(pending, latchkey.FactorTOTP, wrong())); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the eleventh: %v", err)
		}
		var slowed *latchkey.ThrottledError
		if err := kit.Err(k.Answers(pending, latchkey.FactorTOTP, app.Code())); !errors.As(err, &slowed) || slowed.RetryAfter != 30*time.Second {
			k.Errorf("slowed: %v", err)
		}
		k.Must(kit.Err(k.Answers(pending, latchkey.FactorRecoveryCode, codes[0].Reveal())))
		k.Clock.Advance(time.Hour)
		_, pending = k.Owing(stranger)
		k.Must(kit.Err(k.Answers(pending, latchkey.FactorTOTP, app.Code())))
	})
}

// AC-037, AC-049: new codes, other ids, other spellings and other names of the call
// do not clear the count. AC-050: a password does not clear it either.
func TestAC037AndAC049NewCodesDoNotResetTheCount(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		guesses := 0
		for round := range 30 {
			email := []string{kit.Ada, "ADA@example.org", "Ada@Example.Org"}[round%3]
			token, err := k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{UserID: fmt.Sprint("id", round), Email: email})
			k.Must(err)
			wrong := kit.OtherCode(k.Mail(kit.Ada).Secret)
			for range 4 {
				var slowed *latchkey.ThrottledError
				err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, wrong))
				if errors.As(err, &slowed) {
					if guesses != 11 || slowed.RetryAfter != 30*time.Second {
						k.Errorf("slowed after %d guesses for %v", guesses, slowed.RetryAfter)
					}
					k.Clock.Advance(slowed.RetryAfter)
					if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, wrong)); !errors.Is(err, latchkey.ErrInvalidToken) {
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

// AC-037, 038: five wrong codes void a verification. New codes do not clear the count
// of wrong ones.
func TestAC037PhoneVerificationIsNotGuessed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		stranger := k.Guest(kit.At("203.0.113.1"))
		var m kit.Message
		ask := func() {
			token, err := account.CreatePhoneVerification(k.Ctx)
			k.Must(err)
			m = k.MailOf(token, kit.Phone)
		}
		for range 2 {
			ask()
			for range 5 {
				if err := kit.Err(stranger.ConfirmPhoneVerification(k.Ctx, user.ID, kit.OtherCode(m.Secret))); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("a wrong code: %v", err)
				}
			}
			if err := kit.Err(stranger.ConfirmPhoneVerification(k.Ctx, user.ID, m.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("after five: %v", err)
			}
		}
		ask()
		if err := kit.Err(stranger.ConfirmPhoneVerification(k.Ctx, user.ID, kit.OtherCode(m.Secret))); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the eleventh: %v", err)
		}
		var slowed *latchkey.ThrottledError
		if err := kit.Err(stranger.ConfirmPhoneVerification(k.Ctx, user.ID, m.Secret)); !errors.As(err, &slowed) {
			k.Errorf("after eleven: %v", err)
		}
	})
}

// AC-037: an attacker who enters the number of a stranger cannot guess its codes
// faster from clients that know the attacker, nor by proving a number of the
// attacker's own in between.
func TestAC037NumberOfAStrangerIsCountedByItself(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, compared := k.SignUp(kit.Ada), 0
		for n := range 4 {
			ip := fmt.Sprintf("203.0.113.%d", n+1)
			account := k.SignedInAt(ip)
			if n == 0 {
				k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
			}
			for range 2 {
				token, err := account.CreatePhoneVerification(k.Ctx)
				k.Must(err)
				m := k.MailOf(token, kit.Phone)
				for range 5 {
					if errors.Is(kit.Err(k.Guest(kit.At(ip)).ConfirmPhoneVerification(k.Ctx, user.ID, kit.OtherCode(m.Secret))), latchkey.ErrInvalidToken) {
						compared++
					}
				}
			}
		}
		if compared > 11 {
			k.Errorf("%d codes are compared", compared)
		}
	})
}

// AC-037, AC-051: a client that is known for the password is not known for the
// factor, so other networks give an attacker no more guesses at the factor.
func TestAC037NetworksGiveNoMoreGuesses(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		engine := k.LimitedEngine(nil)
		guesses := 0
		for n := range 12 {
			ip := fmt.Sprintf("2001:db8:0:%x::1", n+1)
			g := engine.Guest(latchkey.Client{IP: netip.MustParseAddr(ip)})
			_, p := k.Owing(g)
			for {
				c, err := p.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
				if err != nil {
					break
				}
				stop := false
				for range 5 {
					if err := kit.Err(p.ConfirmMFAChallenge(k.Ctx, c.ID, kit.OtherCode(app.Code()))); !errors.Is(err, latchkey.ErrInvalidToken) {
						stop = true
						break
					}
					guesses++
				}
				if stop {
					break
				}
			}
		}
		if guesses > 22 {
			k.Errorf("%d guesses without a wait", guesses)
		}
	})
}

// AC-038, 040, 042: of a hundred concurrent answers with one code, one step or one
// recovery code, one succeeds.
func TestAC038AC040AC042AHundredAtOnce(t *testing.T) {
	for _, factor := range []latchkey.Factor{latchkey.FactorTOTP, latchkey.FactorRecoveryCode, latchkey.FactorEmail} {
		t.Run(string(factor), func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				account, app, codes := k.Enrolled(latchkey.NewMFAAuthenticator{})
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
				type try struct {
					by        *latchkey.Pending
					challenge string
				}
				var tries []try
				for range 5 { // several sessions use one code
					_, pending := k.Owing(k.Visitor)
					challenge, err := pending.CreateMFAChallenge(k.Ctx, factor)
					k.Must(err)
					tries = append(tries, try{pending, challenge.ID})
				}
				otp := map[latchkey.Factor]string{latchkey.FactorTOTP: app.Code(), latchkey.FactorRecoveryCode: codes[0].Reveal()}[factor]
				if factor == latchkey.FactorEmail {
					otp = k.Message(tries[0].challenge, kit.Ada).Secret
				}
				var group sync.WaitGroup
				done := make(chan string, 100)
				for n := range 100 {
					group.Go(func() {
						one := tries[n%len(tries)]
						if factor == latchkey.FactorEmail && n%12 != 11 {
							one = tries[0] // elsewhere the code is wrong, and eleven wrong answers would slow the right one
						}
						session, err := one.by.ConfirmMFAChallenge(k.Ctx, one.challenge, otp)
						var own *latchkey.Error
						if err != nil && !errors.As(err, &own) {
							k.Error(err)
						}
						if err == nil {
							done <- session.ID
						}
					})
				}
				group.Wait()
				if len(done) != 1 {
					k.Errorf("%d successes", len(done))
				}
			})
		})
	}
}

// AC-039, 041: a step is accepted once, in any spelling of its code and in any
// session, even after the clock has moved back. The steps before and after it stay
// valid.
func TestAC039AC041EachStepIsAcceptedOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Clock.Advance(time.Hour)
		enter := func(code string) error {
			_, pending := k.Owing(k.Visitor)
			return kit.Err(k.Answers(pending, latchkey.FactorTOTP, code))
		}
		for _, steps := range []int{-3, -2, 2, 3} {
			if err := enter(app.CodeAt(steps)); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%d steps away: %v", steps, err)
			}
		}
		k.Must(enter(app.CodeAt(-1)))
		code := app.Code()
		k.Must(enter(code))
		for _, again := range []string{code, app.CodeAt(-1), code + " ", " " + code, code + "\t", code + "\x00", "+" + code[1:]} {
			if err := enter(again); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%q again: %v", again, err)
			}
		}
		k.Must(enter(app.CodeAt(1)))
		k.Clock.Advance(-30 * time.Second)
		if err := enter(app.Code()); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("after the clock has moved back: %v", err)
		}
		k.Clock.Advance(2 * time.Minute)
		k.Must(enter(app.Code()))
	})
}

// AC-042, 043: a recovery code serves once and only its own user. It does not serve
// after the user has made new ones.
func TestAC042AC043RecoveryCodesServeOnce(t *testing.T) {
	for _, strong := range []bool{false, true} {
		t.Run(fmt.Sprint("strong ", strong), func(t *testing.T) {
			kit.OnEveryStore(t, latchkey.Policy{Factors: latchkey.FactorPolicy{StrongRecoveryCodes: strong}}, func(k *kit.Kit) {
				_, _, codes := k.Enrolled(latchkey.NewMFAAuthenticator{})
				want, form := 6, "0123456789abcdef"
				if strong {
					want, form = 10, "0123456789ABCDEFGHJKMNPQRSTVWXYZ-"
				}
				seen := make(map[string]bool)
				for _, code := range codes {
					seen[code.Reveal()] = true
					if strings.Trim(code.Reveal(), form) != "" || len(code.Reveal()) != map[bool]int{false: 10, true: 29}[strong] {
						k.Errorf("%q", code.Reveal())
					}
				}
				if len(seen) != want {
					k.Errorf("%d codes", len(seen))
				}
				stranger := k.SignUp(kit.Bob)
				foreign, err := k.Users().CreateMFARecoveryCodes(k.Ctx, stranger.ID)
				k.Must(err)
				_, pending := k.Owing(k.Visitor)
				if err := kit.Err(k.Answers(pending, latchkey.FactorRecoveryCode, foreign.Codes[0].Reveal())); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("another's code: %v", err)
				}
				typed := strings.ToUpper(codes[0].Reveal())
				if strong {
					typed = strings.NewReplacer("-", " ", "0", "o", "1", "l").Replace(strings.ToLower(codes[0].Reveal()))
				}
				session, err := k.Answers(pending, latchkey.FactorRecoveryCode, typed)
				k.Must(err)
				if !slices.Equal(session.Factors, []string{"password", "recoveryCode"}) {
					k.Error(session.Factors)
				}
				_, pending = k.Owing(k.Visitor)
				if err := kit.Err(k.Answers(pending, latchkey.FactorRecoveryCode, codes[0].Reveal())); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("twice: %v", err)
				}
				factors, err := pending.MFAFactors(k.Ctx)
				k.Must(err)
				if factors.RecoveryCodesLeft != want-1 {
					k.Errorf("%+v", factors)
				}
				challenged, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
				k.Must(err)
				shown, err := challenged.MFARecoveryCodes(k.Ctx)
				k.Must(err)
				if shown.Left != want-1 || strong && shown.Codes != nil || !strong && !slices.Equal(kit.Sorted(shown.Codes), kit.Sorted(codes[1:])) {
					k.Errorf("%+v", shown)
				}
				if err := kit.Err(challenged.CreateMFARecoveryCodes(k.Ctx)); err != latchkey.ErrRecoveryCodesAlreadyExist {
					k.Error(err)
				}
				again, err := challenged.RegenerateMFARecoveryCodes(k.Ctx)
				k.Must(err)
				if again.Left != want || again.Codes[0].Equal(codes[1]) {
					k.Errorf("%+v", again)
				}
				if err := kit.Err(k.Answers(pending, latchkey.FactorRecoveryCode, codes[1].Reveal())); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("an old code: %v", err)
				}
				k.Must(kit.Err(k.Answers(pending, latchkey.FactorRecoveryCode, again.Codes[1].Reveal())))
				if text := fmt.Sprint(k.Everything()); strings.Contains(text, again.Codes[2].Reveal()) || fmt.Sprint(again.Codes[2]) != "[secret]" { // AC-056
					k.Error("a code is in the rows, or printed")
				}
			})
		})
	}
}

// AC-036, at a known client: one wrong code counts once, however many live codes the
// user has and wherever they were sent.
func TestKnownClientIsSlowedForAllCodesTogether(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignIn(kit.Ada)
		live := func() string {
			k.Must(kit.Err(k.Users().CreateToken(k.Ctx, user.ID, 6, 0)))
			_, code := k.AskCode(kit.Ada)
			return code
		}
		compared := 0
		for range 4 {
			code := live()
			for range 5 {
				if errors.Is(kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, kit.OtherCode(code))), latchkey.ErrInvalidToken) {
					compared++
				}
			}
		}
		if compared != 11 {
			k.Errorf("%d compared", compared)
		}
		var slowed *latchkey.ThrottledError
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, live())); !errors.As(err, &slowed) {
			k.Errorf("the right one: %v", err)
		}
	})
}

// AC-037: a client that is known to the user of an id is not known to other users'
// addresses that were promised the same id.
func TestKnownClientHasNoCountOfItsOwnForOthersAddresses(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{UserID: "mallory", Email: kit.Ada})))
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "mallory", Email: "mallory@example.org", Password: kit.Password})))
		k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, "mallory@example.org", kit.Password)))
		want := func(n int64) {
			rows, err := record.Failures.List(k.Ctx, k.Raw, store.Query{Index: record.Failures.Primary(), Limit: 10})
			k.Must(err)
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
		for n := range 2 { // the user's client and an unknown client share one count
			_ = kit.Err(k.Visitor.CreateSession(k.Ctx, "mallory", "000000"))
			want(int64(2*n + 1))
			_ = kit.Err(k.Guest(kit.At("203.0.113.99")).CreateSession(k.Ctx, "mallory", "000000"))
			want(int64(2*n + 2))
		}
	})
}
