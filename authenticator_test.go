package latchkey_test

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"image/png"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/qr"
	"example.com/latchkey/store"
)

// AC-039, 041: a step is accepted once, whatever its code is dressed in, in whatever
// session, also after the clock has moved back; the steps before and after are good.
func TestAC039AC041EachStepIsAcceptedOnce(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		_, app, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		k.clock.Advance(time.Hour)
		enter := func(code string) error {
			_, pending := k.owing(k.guest)
			return ignore(k.answers(pending, latchkey.FactorTOTP, code))
		}
		for _, steps := range []int{-3, -2, 2, 3} {
			if err := enter(app.CodeAt(steps)); err != latchkey.ErrInvalidToken {
				k.Errorf("%d steps away: %v", steps, err)
			}
		}
		k.must(enter(app.CodeAt(-1)))
		code := app.Code()
		k.must(enter(code))
		for _, again := range []string{code, app.CodeAt(-1), code + " ", " " + code, code + "\t", code + "\x00", "+" + code[1:]} {
			if err := enter(again); err != latchkey.ErrInvalidToken {
				k.Errorf("%q again: %v", again, err)
			}
		}
		k.must(enter(app.CodeAt(1)))
		k.clock.Advance(-30 * time.Second)
		if err := enter(app.Code()); err != latchkey.ErrInvalidToken {
			k.Errorf("after the clock has moved back: %v", err)
		}
		k.clock.Advance(2 * time.Minute)
		k.must(enter(app.Code()))
	})
}

func TestCodesThatAreNoneCostNoGuess(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		_, app, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		_, pending := k.owing(k.guest)
		challenge, err := pending.CreateMFAChallenge(k.ctx, latchkey.FactorTOTP)
		k.must(err)
		k.forget()
		for _, none := range []string{"12345", "1234567", "12345a", "١٢٣٤٥٦", "12 456", "-12345", "12345\n", "１２３４５６"} {
			if err := ignore(pending.UpdateMFAChallenge(k.ctx, challenge.ID, none)); err != latchkey.ErrInvalidToken {
				k.Errorf("%q: %v", none, err)
			}
		}
		if got := k.logs(); len(got) != 0 {
			k.Errorf("counted: %v", got)
		}
		k.must(ignore(pending.UpdateMFAChallenge(k.ctx, challenge.ID, app.Code())))
	})
}

// RFC 6238, appendix B: the vectors of SHA-1 and SHA-256, with eight digits, by
// authenticators that get the seeds of the RFC behind the engine's back.
func TestCodesAreThoseOfRFC6238(t *testing.T) {
	seeds := map[string]string{"SHA1": "12345678901234567890", "SHA256": "12345678901234567890123456789012"}
	times := []int64{59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000}
	for algorithm, want := range map[string][]string{
		"SHA1":   {"94287082", "07081804", "14050471", "89005924", "69279037", "65353130"},
		"SHA256": {"46119246", "68084774", "67062674", "91819424", "90698825", "77737706"},
	} {
		t.Run(algorithm, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				k.clock.Set(time.Unix(59, 0))
				k.enrolled(latchkey.NewMFAAuthenticator{Algorithm: algorithm, Digits: 8})
				root, err := hex.DecodeString(strings.TrimPrefix(k.keys.Active.Reveal(), "latchkey1-"))
				k.must(err)
				k.must(k.store.Store.Update(k.ctx, func(ctx context.Context, tx store.Tx) error {
					rows, err := record.Authenticators.List(ctx, tx, store.Query{Index: record.Authenticators.Primary(), Limit: 1})
					if err != nil {
						return err
					}
					row := *rows[0]
					place := seal.Place{Table: "authenticators", Column: "seed", Record: row.ID, Owner: row.UserID}
					row.Seed, row.Step = seal.NewRing(root).Seal(seal.TOTP, place, []byte(seeds[algorithm])), 0
					return record.Authenticators.Replace(ctx, tx, &row)
				}))
				for i, at := range times {
					k.clock.Set(time.Unix(at, 0))
					_, pending := k.owing(k.guest)
					if err := ignore(k.answers(pending, latchkey.FactorTOTP, want[i])); err != nil {
						k.Errorf("%s at %d: %v", want[i], at, err)
					}
				}
			})
		})
	}
}

func TestAuthenticatorsOfEveryKindServe(t *testing.T) {
	for _, n := range []latchkey.NewMFAAuthenticator{{}, {Digits: 8}, {Algorithm: "SHA256"}, {Algorithm: "SHA256", Digits: 8, Type: latchkey.FactorTOTP}} {
		t.Run(fmt.Sprintf("%+v", n), func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				_, app, _ := k.enrolled(n)
				_, pending := k.owing(k.guest)
				if want := max(n.Digits, 6); len(app.Code()) != want {
					k.Errorf("%q", app.Code())
				}
				k.must(ignore(k.answers(pending, latchkey.FactorTOTP, app.Code())))
			})
		})
	}
}

func TestAuthenticatorIsShownForAnApp(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		engine := k.configured(func(c *latchkey.Config) { c.App = "Bread & Co: bakers" })
		user, err := k.Users().Create(k.ctx, latchkey.NewUser{Name: "Ada Lovelace"})
		k.must(err)
		enrol := func(n latchkey.NewMFAAuthenticator) *latchkey.MFAAuthenticator {
			session, err := k.Users().CreateSession(k.ctx, user.ID)
			k.must(err)
			account, err := engine.Guest(testClient).Authenticate(k.ctx, session.Secret)
			k.must(err)
			made, err := account.CreateMFAAuthenticator(k.ctx, n)
			k.must(err)
			return made
		}
		made := enrol(latchkey.NewMFAAuthenticator{})
		uri, err := url.Parse(made.URI.Reveal())
		k.must(err)
		q := uri.Query()
		if uri.Scheme != "otpauth" || uri.Host != "totp" || uri.Path != "/Bread & Co: bakers:Ada Lovelace" || q.Get("issuer") != "Bread & Co: bakers" ||
			q.Get("secret") != made.Secret.Reveal() || q.Get("digits") != "6" || q.Get("period") != "30" || q.Get("algorithm") != "SHA1" ||
			strings.Contains(made.URI.Reveal(), "+") {
			k.Errorf("%s", made.URI.Reveal())
		}
		if seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(made.Secret.Reveal()); err != nil || len(seed) != 20 {
			k.Errorf("%d bytes, %v", len(seed), err)
		}
		if fmt.Sprint(made) != "&{[secret] [secret]}" {
			k.Errorf("%v", made)
		}
		picture, err := qr.PNG(made.URI, 256)
		k.must(err)
		if image, err := png.Decode(bytes.NewReader(picture)); err != nil || image.Bounds().Dx() != 256 {
			k.Error(err)
		}
		for _, size := range []int{0, -1, 63, 2049} {
			if _, err := qr.PNG(made.URI, size); err == nil {
				k.Errorf("%d pixels", size)
			}
		}
		k.must(ignore(k.Users().UpdatePhone(k.ctx, user.ID, phone)))
		if made := enrol(latchkey.NewMFAAuthenticator{}); !strings.Contains(made.URI.Reveal(), "%2B14155550100?") {
			k.Errorf("%s", made.URI.Reveal())
		}
		_, nobody := k.anonymous()
		for _, n := range []latchkey.NewMFAAuthenticator{{Type: "sms"}, {Algorithm: "MD5"}, {Digits: 7}, {Digits: -6}} {
			if err := ignore(nobody.CreateMFAAuthenticator(k.ctx, n)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%+v: %v", n, err)
			}
		}
	})
}

// AC-054: an enrolment that is not confirmed counts for nothing, and never replaces
// a confirmed one.
func TestAC054UnconfirmedEnrolmentCountsForNothing(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		_, account := k.signIn(ada)
		k.must(ignore(account.UpdateMFA(k.ctx, true)))
		if err := ignore(account.UpdateMFAAuthenticator(k.ctx, "123456")); err != latchkey.ErrAuthenticatorNotFound {
			k.Error(err)
		}
		first, err := account.CreateMFAAuthenticator(k.ctx, latchkey.NewMFAAuthenticator{})
		k.must(err)
		second, err := account.CreateMFAAuthenticator(k.ctx, latchkey.NewMFAAuthenticator{})
		k.must(err)
		old, err := authtest.NewAuthenticator(k.clock, first.URI)
		k.must(err)
		app, err := authtest.NewAuthenticator(k.clock, second.URI)
		k.must(err)
		k.signIn(ada) // nothing is owed
		if factors, err := account.MFAFactors(k.ctx); err != nil || factors.TOTP {
			k.Errorf("%+v, %v", factors, err)
		}
		if err := ignore(account.CreateMFAChallenge(k.ctx, latchkey.FactorTOTP)); err != latchkey.ErrAuthenticatorNotFound {
			k.Error(err)
		}
		if err := ignore(account.UpdateMFAAuthenticator(k.ctx, old.Code())); err != latchkey.ErrInvalidToken {
			k.Errorf("a code of the one before: %v", err)
		}
		k.must(ignore(account.UpdateMFAAuthenticator(k.ctx, app.Code())))
		k.must(ignore(account.User(k.ctx))) // who has done it is not locked out
		for _, err := range []error{ignore(account.CreateMFAAuthenticator(k.ctx, latchkey.NewMFAAuthenticator{})), ignore(account.UpdateMFAAuthenticator(k.ctx, app.Code()))} {
			if err != latchkey.ErrAuthenticatorAlreadyVerified {
				k.Error(err)
			}
		}
		_, pending := k.owing(k.guest)
		if err := ignore(k.answers(pending, latchkey.FactorTOTP, app.Code())); err != latchkey.ErrInvalidToken { // AC-039
			k.Errorf("the code that confirmed it: %v", err)
		}
		k.must(ignore(k.answers(pending, latchkey.FactorTOTP, app.CodeAt(1))))
	})
}

// AC-042, 043: a recovery code serves once, its user, and not after new ones were
// made.
func TestAC042AC043RecoveryCodesServeOnce(t *testing.T) {
	for _, strong := range []bool{false, true} {
		t.Run(fmt.Sprint("strong ", strong), func(t *testing.T) {
			onEveryStore(t, latchkey.Policy{StrongRecoveryCodes: strong}, func(k *kit) {
				_, _, codes := k.enrolled(latchkey.NewMFAAuthenticator{})
				want, form := 6, "0123456789abcdef"
				if strong {
					want, form = 10, "0123456789ABCDEFGHJKMNPQRSTVWXYZ-"
				}
				seen := make(map[latchkey.Secret]bool)
				for _, code := range codes {
					seen[code] = true
					if strings.Trim(code.Reveal(), form) != "" || len(code) != map[bool]int{false: 10, true: 29}[strong] {
						k.Errorf("%q", code.Reveal())
					}
				}
				if len(seen) != want {
					k.Errorf("%d codes", len(seen))
				}
				stranger := k.signUp(bob)
				foreign, err := k.Users().CreateMFARecoveryCodes(k.ctx, stranger.ID)
				k.must(err)
				_, pending := k.owing(k.guest)
				if err := ignore(k.answers(pending, latchkey.FactorRecoveryCode, foreign.Codes[0].Reveal())); err != latchkey.ErrInvalidToken {
					k.Errorf("another's code: %v", err)
				}
				typed := strings.ToUpper(codes[0].Reveal())
				if strong {
					typed = strings.NewReplacer("-", " ", "0", "o", "1", "l").Replace(strings.ToLower(codes[0].Reveal()))
				}
				session, err := k.answers(pending, latchkey.FactorRecoveryCode, typed)
				k.must(err)
				if !slices.Equal(session.Factors, []string{"password", "recoveryCode"}) {
					k.Error(session.Factors)
				}
				_, pending = k.owing(k.guest)
				if err := ignore(k.answers(pending, latchkey.FactorRecoveryCode, codes[0].Reveal())); err != latchkey.ErrInvalidToken {
					k.Errorf("twice: %v", err)
				}
				factors, err := pending.MFAFactors(k.ctx)
				k.must(err)
				if factors.RecoveryCodesLeft != want-1 {
					k.Errorf("%+v", factors)
				}
				challenged, err := k.guest.Authenticate(k.ctx, session.Secret)
				k.must(err)
				shown, err := challenged.MFARecoveryCodes(k.ctx)
				k.must(err)
				if shown.Left != want-1 || strong && shown.Codes != nil || !strong && !slices.Equal(sorted(shown.Codes), sorted(codes[1:])) {
					k.Errorf("%+v", shown)
				}
				if err := ignore(challenged.CreateMFARecoveryCodes(k.ctx)); err != latchkey.ErrRecoveryCodesAlreadyExist {
					k.Error(err)
				}
				again, err := challenged.UpdateMFARecoveryCodes(k.ctx)
				k.must(err)
				if again.Left != want || again.Codes[0] == codes[1] {
					k.Errorf("%+v", again)
				}
				if err := ignore(k.answers(pending, latchkey.FactorRecoveryCode, codes[1].Reveal())); err != latchkey.ErrInvalidToken {
					k.Errorf("an old code: %v", err)
				}
				k.must(ignore(k.answers(pending, latchkey.FactorRecoveryCode, again.Codes[1].Reveal())))
				if text := fmt.Sprint(k.everything()); strings.Contains(text, again.Codes[2].Reveal()) || fmt.Sprint(again.Codes[2]) != "[secret]" { // AC-056
					k.Error("a code is in the rows, or printed")
				}
			})
		})
	}
}

func sorted(codes []latchkey.Secret) (out []string) {
	for _, c := range codes {
		out = append(out, c.Reveal())
	}
	slices.Sort(out)
	return out
}

func TestRecoveryCodesAreMadeAnewWhenNoneIsLeft(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		for _, err := range []error{ignore(k.Users().MFARecoveryCodes(k.ctx, user.ID)), ignore(k.Users().UpdateMFARecoveryCodes(k.ctx, user.ID))} {
			if err != latchkey.ErrRecoveryCodesNotFound {
				k.Error(err)
			}
		}
		codes, err := account.CreateMFARecoveryCodes(k.ctx)
		k.must(err)
		if err := ignore(k.Users().CreateMFARecoveryCodes(k.ctx, user.ID)); err != latchkey.ErrRecoveryCodesAlreadyExist {
			k.Error(err)
		}
		shown, err := k.Users().MFARecoveryCodes(k.ctx, user.ID)
		k.must(err)
		if !slices.Equal(sorted(shown.Codes), sorted(codes.Codes)) {
			k.Errorf("%+v", shown)
		}
		for _, code := range codes.Codes {
			session, err := k.answers(account, latchkey.FactorRecoveryCode, code.Reveal())
			k.must(err)
			account, err = k.guest.Authenticate(k.ctx, session.Secret)
			k.must(err)
		}
		if err := ignore(account.MFARecoveryCodes(k.ctx)); err != latchkey.ErrRecoveryCodesNotFound {
			k.Error(err)
		}
		k.must(ignore(account.CreateMFARecoveryCodes(k.ctx)))
	})
}

// AC-056, 120, 121: seeds and codes are sealed in their rows, are sealed anew with
// another key, and serve on.
func TestAC056FactorsAreSealedAndResealed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		_, app, codes := k.enrolled(latchkey.NewMFAAuthenticator{})
		if text := fmt.Sprint(k.everything()); strings.Contains(text, codes[0].Reveal()) {
			k.Error("a recovery code is in the rows")
		}
		key := latchkey.GenerateKey()
		both := latchkey.Keys{Active: key, Old: []latchkey.Key{k.keys.Active}}
		rotated := k.configured(func(c *latchkey.Config) { c.Keys = both })
		done, err := rotated.Reseal(k.ctx)
		k.must(err)
		if done.Rows != 1+1+6 || len(done.Left) != 0 { // the user, the authenticator, the codes
			k.Errorf("%+v", done)
		}
		alone := k.configured(func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: key} })
		_, pending := k.owing(alone.Guest(testClient))
		k.must(ignore(k.answers(pending, latchkey.FactorTOTP, app.Code())))
		_, pending = k.owing(alone.Guest(testClient))
		k.must(ignore(k.answers(pending, latchkey.FactorRecoveryCode, codes[0].Reveal())))
		// A seed that is moved to another user does not open.
		k.tampered = true
		stranger := k.signUp(bob)
		k.must(k.store.Store.Update(k.ctx, func(ctx context.Context, tx store.Tx) error {
			rows, err := record.Authenticators.List(ctx, tx, store.Query{Index: record.Authenticators.Primary(), Limit: 1})
			if err != nil {
				return err
			}
			moved := *rows[0]
			moved.ID, moved.UserID, moved.Step = "moved", stranger.ID, 0
			return record.Authenticators.Insert(ctx, tx, &moved)
		}))
		k.changeUser(stranger.ID, func(u *record.User) { u.TOTP = true })
		session, err := alone.Users().CreateSession(k.ctx, stranger.ID)
		k.must(err)
		account, err := alone.Guest(testClient).Authenticate(k.ctx, session.Secret)
		k.must(err)
		var own *latchkey.Error
		if err := ignore(k.answers(account, latchkey.FactorTOTP, app.CodeAt(1))); err == nil || errors.As(err, &own) {
			k.Errorf("a seed of another: %v", err)
		}
	})
}

// push is a factor of a host's own.
type push struct {
	mu    sync.Mutex
	begun map[string]string
	asked int
}

func (p *push) Begin(_ context.Context, userID, challengeID string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun[challengeID] = userID
	return nil
}

func (p *push) Check(_ context.Context, userID, challengeID, answer string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	return p.begun[challengeID] == userID && answer == "yes", nil
}

func TestHostsOwnFactor(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.enrolled(latchkey.NewMFAAuthenticator{})
		host := &push{begun: make(map[string]string)}
		engine := k.configured(func(c *latchkey.Config) { c.CustomFactor = host })
		_, pending := k.owing(engine.Guest(testClient))
		if factors, err := pending.MFAFactors(k.ctx); err != nil || !factors.Custom {
			k.Errorf("%+v, %v", factors, err)
		}
		challenge, err := pending.CreateMFAChallenge(k.ctx, latchkey.FactorCustom)
		k.must(err)
		var group sync.WaitGroup
		for range 9 {
			group.Go(func() { _ = ignore(pending.UpdateMFAChallenge(k.ctx, challenge.ID, "no")) })
		}
		group.Wait()
		if host.asked > 5 { // AC-038
			k.Errorf("%d answers are compared", host.asked)
		}
		if err := ignore(pending.UpdateMFAChallenge(k.ctx, challenge.ID, "yes")); err != latchkey.ErrInvalidToken {
			k.Errorf("after five: %v", err)
		}
		session, err := k.answers(pending, latchkey.FactorCustom, "yes")
		k.must(err)
		if !slices.Equal(session.Factors, []string{"password", "custom"}) {
			k.Error(session.Factors)
		}
		k.must(ignore(engine.Guest(testClient).Authenticate(k.ctx, session.Secret)))
	})
}
