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
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/qr"
	"example.com/latchkey/store"
)

func TestCodesThatAreNoneCostNoGuess(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		_, pending := k.Owing(k.Visitor)
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
		k.Must(err)
		k.Forget()
		for _, none := range []string{"12345", "1234567", "12345a", "١٢٣٤٥", "12 456", "-12345", "12345\n", "１２３４５", "12345①", "123.456", "一23456", "G-123456", "12345O"} {
			if err := kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, none)); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%q: %v", none, err)
			}
		}
		if got := k.Logs(); len(got) != 0 {
			k.Errorf("counted: %v", got)
		}
		k.Must(kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, app.Code())))
	})
}

// The codes match RFC 6238, appendix B: the vectors of SHA-1 and SHA-256, with eight
// digits. The test writes the seeds of the RFC into the rows.
func TestCodesAreThoseOfRFC6238(t *testing.T) {
	seeds := map[string]string{"SHA1": "12345678901234567890", "SHA256": "12345678901234567890123456789012"}
	times := []int64{59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000}
	for algorithm, want := range map[string][]string{
		"SHA1":   {"94287082", "07081804", "14050471", "89005924", "69279037", "65353130"},
		"SHA256": {"46119246", "68084774", "67062674", "91819424", "90698825", "77737706"},
	} {
		t.Run(algorithm, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				k.Clock.Set(time.Unix(59, 0))
				k.Enrolled(latchkey.NewMFAAuthenticator{Algorithm: algorithm, Digits: 8})
				root, err := hex.DecodeString(strings.TrimPrefix(k.Keys.Active.Reveal(), "latchkey1-"))
				k.Must(err)
				k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
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
					k.Clock.Set(time.Unix(at, 0))
					_, pending := k.Owing(k.Visitor)
					if err := kit.Err(k.Answers(pending, latchkey.FactorTOTP, want[i])); err != nil {
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
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				_, app, _ := k.Enrolled(n)
				_, pending := k.Owing(k.Visitor)
				if want := max(n.Digits, 6); len(app.Code()) != want {
					k.Errorf("%q", app.Code())
				}
				k.Must(kit.Err(k.Answers(pending, latchkey.FactorTOTP, app.Code())))
			})
		})
	}
}

func TestAuthenticatorIsShownForAnApp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		engine := k.Configured(func(c *latchkey.Config) { c.App = "Bread & Co: bakers" })
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Name: "Ada Lovelace"})
		k.Must(err)
		enrol := func(n latchkey.NewMFAAuthenticator) *latchkey.MFAAuthenticator {
			session, err := k.Users().CreateSession(k.Ctx, user.ID)
			k.Must(err)
			account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			made, err := account.CreateMFAAuthenticator(k.Ctx, n)
			k.Must(err)
			return made
		}
		made := enrol(latchkey.NewMFAAuthenticator{})
		uri, err := url.Parse(made.URI.Reveal())
		k.Must(err)
		q := uri.Query()
		if uri.Scheme != "otpauth" || uri.Host != "totp" || uri.Path != "/Bread & Co bakers:Ada Lovelace" || q.Get("issuer") != "Bread & Co bakers" ||
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
		picture, err := qr.PNG(made.URI.Reveal(), 256)
		k.Must(err)
		if image, err := png.Decode(bytes.NewReader(picture)); err != nil || image.Bounds().Dx() != 256 {
			k.Error(err)
		}
		for _, size := range []int{0, -1, 63, 2049} {
			if _, err := qr.PNG(made.URI.Reveal(), size); err == nil {
				k.Errorf("%d pixels", size)
			}
		}
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.Phone)))
		if made := enrol(latchkey.NewMFAAuthenticator{}); !strings.Contains(made.URI.Reveal(), "%2B14155550100?") {
			k.Errorf("%s", made.URI.Reveal())
		}
		_, nobody := k.Anonymous()
		for _, n := range []latchkey.NewMFAAuthenticator{{Type: "sms"}, {Algorithm: "MD5"}, {Digits: 7}, {Digits: -6}} {
			if err := kit.Err(nobody.CreateMFAAuthenticator(k.Ctx, n)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%+v: %v", n, err)
			}
		}
	})
}
