package latchkey_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
)

// spelled writes the digits of a code in the script whose zero is given.
func spelled(code string, zero rune) string {
	return strings.Map(func(r rune) rune { return zero + r - '0' }, code)
}

// forms are ways in which people give a code of six digits.
var forms = map[string]func(code string) string{
	"in two groups":            func(c string) string { return c[:3] + " " + c[3:] },
	"with a dash":              func(c string) string { return c[:3] + "-" + c[3:] },
	"out of a mail":            func(c string) string { return "    " + c + "\r\n" },
	"a no-break space":         func(c string) string { return c[:3] + "\u00a0" + c[3:] },
	"an en dash":               func(c string) string { return c[:3] + "\u2013" + c[3:] },
	"zero-width space":         func(c string) string { return "\u200b" + c },
	"out of isolates":          func(c string) string { return "\u2068" + c + "\u2069" },
	"full width":               func(c string) string { return spelled(c, '０') },
	"full width, Japanese bar": func(c string) string { return spelled(c[:3], '０') + "ー" + spelled(c[3:], '０') },
	"Arabic":                   func(c string) string { return spelled(c, '٠') },
	"Persian":                  func(c string) string { return spelled(c, '۰') },
	"Devanagari":               func(c string) string { return spelled(c, '०') },
	"Bengali, by threes":       func(c string) string { return spelled(c[:3], '০') + "\u2009" + spelled(c[3:], '০') },
}

// noCodes are texts that are no code of six digits, however they are read.
var noCodes = []string{
	"12345", "1234567", "12345x", "123.456", "123456.", "G-123456", " ", "--", "12345①", "٠١٢٣٤", "yes", "1234 5", "https://app.example.org/in", "\u200b",
}

// codeWays are the operations that take a code of six digits. ask makes a code, and returns
// the call that takes it. noCode is in the message of the error for a text that is no code.
var codeWays = []struct {
	name   string
	ask    func(k *kit.Kit) (code string, give func(text string) error)
	noCode string
}{
	{"a code by mail signs in", func(k *kit.Kit) (string, func(string) error) {
		token, code := k.AskCode(kit.Ada)
		return code, func(text string) error { return kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, text)) }
	}, "six digits"},
	{"a code by SMS signs in", func(k *kit.Kit) (string, func(string) error) {
		token, err := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
		k.Must(err)
		m := k.MailOf(token, kit.Phone)
		return m.Secret, func(text string) error { return kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, text)) }
	}, "six digits"},
	{"a token of the host's signs in", func(k *kit.Kit) (string, func(string) error) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{})
		k.Must(err)
		for {
			token, err := k.Users().CreateToken(k.Ctx, user.ID, 6, 0)
			k.Must(err)
			if code := token.Secret.Reveal(); strings.Trim(code, "0123456789") == "" {
				return code, func(text string) error { return kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, text)) }
			}
		}
	}, "six digits"},
	{"a number is verified", func(k *kit.Kit) (string, func(string) error) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.OwnPhone, kit.Password)))
		token, err := account.CreatePhoneVerification(k.Ctx)
		k.Must(err)
		m := k.MailOf(token, kit.OwnPhone)
		return m.Secret, func(text string) error {
			return kit.Err(k.Visitor.ConfirmPhoneVerification(k.Ctx, account.UserID(), text))
		}
	}, "six digits"},
	{"an authenticator is confirmed", func(k *kit.Kit) (string, func(string) error) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		made, err := account.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})
		k.Must(err)
		app, err := authtest.NewAuthenticator(k.Clock, made.URI.Reveal())
		k.Must(err)
		return app.Code(), func(text string) error { return kit.Err(account.VerifyMFAAuthenticator(k.Ctx, text)) }
	}, "authenticator app, which has 6 digits"},
	{"an app's code answers", func(k *kit.Kit) (string, func(string) error) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		_, pending := k.Owing(k.Visitor)
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
		k.Must(err)
		return app.Code(), func(text string) error { return kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, text)) }
	}, "authenticator app, which has 6 digits"},
	{"a code by mail answers", func(k *kit.Kit) (string, func(string) error) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		challenge, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		return k.Message(challenge.ID, kit.Ada).Secret, func(text string) error {
			return kit.Err(account.ConfirmMFAChallenge(k.Ctx, challenge.ID, text))
		}
	}, "six digits"},
}

// A code is taken as people give it, by every operation that takes one.
func TestCodesAreTakenAsPeopleGiveThem(t *testing.T) {
	for _, way := range codeWays {
		t.Run(way.name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				for name, form := range forms {
					code, give := way.ask(k)
					if err := give(form(code)); err != nil {
						k.Errorf("%s: %v", name, err)
					}
					k.DeleteAll()
				}
			})
		})
	}
}

// A text that is no code of the length is no guess: it is refused with words about the code
// at hand, nothing is counted, and the right code passes after any number of such texts.
func TestTextsThatAreNoCodesAreNotCounted(t *testing.T) {
	for _, way := range codeWays {
		t.Run(way.name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				limited := k.LimitedEngine(nil)
				k.Visitor = limited.Guest(kit.Client)
				code, give := way.ask(k)
				before := k.Everything()
				for range 25 { // 350 texts: more than every limit of an hour
					for _, text := range noCodes {
						err := give(text)
						if !errors.Is(err, latchkey.ErrInvalidToken) || !strings.Contains(err.Error(), way.noCode) {
							k.Fatalf("%q: %v", text, err)
						}
					}
				}
				k.Same("rows", k.Everything(), before)
				k.Must(give(code))
			})
		})
	}
}

// A code of another length is a guess if an open token of the host's has that length.
func TestACustomTokenIsGuessedAtByItsLength(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		refused := func(text string) string {
			err := kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, text))
			if !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%q: %v", text, err)
			}
			return err.Error()
		}
		before := k.Everything()
		refused("abcd")
		refused("abcdef")
		k.Same("rows without a token", k.Everything(), before)
		token, err := k.Users().CreateToken(k.Ctx, user.ID, 4, 0)
		k.Must(err)
		code := token.Secret.Reveal()
		wrong := "abcd"
		if code == wrong {
			wrong = "dcba"
		}
		for range 4 {
			refused(wrong)
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, code[:2]+" - "+code[2:])))
		token, err = k.Users().CreateToken(k.Ctx, user.ID, 4, 0)
		k.Must(err)
		for range 5 { // five wrong ones end it
			refused(wrong)
		}
		refused(token.Secret.Reveal())
		// One that is too long to be typed is compared as it is.
		long, err := k.Users().CreateToken(k.Ctx, user.ID, 40, 0)
		k.Must(err)
		refused(" " + long.Secret.Reveal())
		refused(strings.ToUpper(long.Secret.Reveal()))
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, long.Secret.Reveal())))
	})
}

// A stranger does not learn by the words, nor without being counted, whether the host has made a token
// of some length for an id.
func TestTextsTellNothingOfTheTokensOfTheHost(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		texts := []string{"abcd", "12345", "abcdef12", strings.Repeat("a", 32), strings.Repeat("a", 40), strings.Repeat("0", 128), "xyz", "123456", strings.Repeat("0", 64), "G-123456"}
		words := func(id string) (out []string) {
			for _, text := range texts {
				out = append(out, kit.Err(k.Guest(kit.At(kit.Attacker)).CreateSession(k.Ctx, id, text)).Error())
			}
			return out
		}
		want := words(user.ID)
		k.Same("an unknown id", words("nobody"), want)
		for _, length := range []int{4, 5, 8, 40, 128} {
			k.Must(kit.Err(k.Users().CreateToken(k.Ctx, user.ID, length, 0)))
			k.Same("a token", words(user.ID), want)
		}
	})
}

// A recovery code comes out of notes, printers and word processors. It is the last way in.
func TestRecoveryCodesAreTakenAsPeopleGiveThem(t *testing.T) {
	for name, policy := range map[string]latchkey.Policy{
		"short": kit.Documented, "strong": {Factors: latchkey.FactorPolicy{StrongRecoveryCodes: true}},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				_, _, codes := k.Enrolled(latchkey.NewMFAAuthenticator{})
				for n, sign := range []string{"\u2013", "\u2011", "\u2212", "\u200b", "\u00a0"} {
					code := strings.ReplaceAll(codes[n].Reveal(), "-", sign)
					_, pending := k.Owing(k.Visitor)
					k.Must(kit.Err(k.Answers(pending, latchkey.FactorRecoveryCode, sign+strings.ToUpper(code[:3])+" "+code[3:]+"\t\n")))
				}
				rows := func() int { return k.Rows()["failures"] }
				_, pending := k.Owing(k.Visitor)
				challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorRecoveryCode)
				k.Must(err)
				before := rows()
				for _, text := range []string{"123456", "abcdef012", "abcdef01234", "correct horse", "abcdef012.", "\u00a0"} {
					err := kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, text))
					if !errors.Is(err, latchkey.ErrInvalidToken) || !strings.Contains(err.Error(), "recovery code") {
						k.Errorf("%q: %v", text, err)
					}
				}
				if after := rows(); after != before {
					k.Errorf("%d rows of failures more", after-before)
				}
				err = kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, "0123456789"))
				if !errors.Is(err, latchkey.ErrInvalidToken) || !strings.Contains(err.Error(), "recovery code is wrong") {
					k.Error(err)
				}
				if after := rows(); after != before+1 {
					k.Errorf("a wrong one: %d rows of failures more", after-before)
				}
			})
		})
	}
}

// The host's own factor gets the answer as it was typed.
func TestTheHostsFactorGetsTheAnswerAsItIs(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		host := new(verbatim)
		engine := k.Configured(func(c *latchkey.Config) { c.CustomFactor = host })
		k.SignUp(kit.Ada)
		session, err := engine.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		challenge, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorCustom)
		k.Must(err)
		k.Must(kit.Err(account.ConfirmMFAChallenge(k.Ctx, challenge.ID, " Ja – ١٢ ")))
		if host.got != " Ja – ١٢ " {
			k.Errorf("%q", host.got)
		}
	})
}

// verbatim is a factor of the host that keeps the answer.
type verbatim struct{ got string }

func (v *verbatim) Begin(context.Context, string, string) error { return nil }

func (v *verbatim) Check(_ context.Context, _, _, answer string) (bool, error) {
	v.got = answer
	return true, nil
}
