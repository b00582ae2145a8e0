package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// askers are the calls that send a token to somebody, by kind.
var askers = map[string]func(k *kit, g *latchkey.Guest, id string) (*latchkey.Token, error){
	"link": func(k *kit, g *latchkey.Guest, id string) (*latchkey.Token, error) {
		return g.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{UserID: id, Email: ada, URL: "https://app.example.org/in", Phrase: true})
	},
	"e-mail code": func(k *kit, g *latchkey.Guest, id string) (*latchkey.Token, error) {
		return g.CreateEmailToken(k.ctx, latchkey.NewEmailToken{UserID: id, Email: ada, Phrase: true})
	},
	"SMS code": func(k *kit, g *latchkey.Guest, id string) (*latchkey.Token, error) {
		return g.CreatePhoneToken(k.ctx, id, phone)
	},
}

// redeemers are the names under which tokens are redeemed.
var redeemers = map[string]func(g *latchkey.Guest, ctx context.Context, id, secret string) (*latchkey.Session, error){
	"CreateSession": (*latchkey.Guest).CreateSession, "UpdateMagicURLSession": (*latchkey.Guest).UpdateMagicURLSession,
	"UpdatePhoneSession": (*latchkey.Guest).UpdatePhoneSession,
}

// mail returns the next message to an address.
func (k *kit) mail(to string) notify.Message {
	k.Helper()
	m, err := k.box.Next(k.ctx, to)
	k.must(err)
	return m
}

// mailOf returns the message with a token in it, which may come behind others.
func (k *kit) mailOf(token *latchkey.Token, to string) notify.Message {
	k.Helper()
	return k.message(token.ID, to)
}

// message returns the message with an id.
func (k *kit) message(id, to string) notify.Message {
	k.Helper()
	for {
		if m := k.mail(to); m.ID == id {
			return m
		}
	}
}

// askCode asks for a code for an address and returns it from the message.
func (k *kit) askCode(email string) (*latchkey.Token, string) {
	k.Helper()
	token, err := k.guest.CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: email})
	k.must(err)
	return token, k.mailOf(token, email).Secret
}

func onEveryAsker(t *testing.T, policy latchkey.Policy, test func(k *kit, ask func(g *latchkey.Guest, id string) (*latchkey.Token, error), to string)) {
	t.Helper()
	for name, ask := range askers {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, policy, func(k *kit) {
				to := ada
				if name == "SMS code" {
					to = phone
				}
				test(k, func(g *latchkey.Guest, id string) (*latchkey.Token, error) { return ask(k, g, id) }, to)
			})
		})
	}
}

func TestTokenSignsUpAtRedemptionAndInAfterwards(t *testing.T) {
	onEveryAsker(t, documented, func(k *kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		byMail := to == ada
		token, err := ask(k.guest, "wanted.id")
		k.must(err)
		m := k.mail(to)
		if token.UserID != "wanted.id" || token.Secret != "" || !token.CreatedAt.Equal(k.clock.Now()) || m.UserID != "wanted.id" ||
			m.Phrase != token.Phrase || !m.Expire.Equal(token.Expire) || m.ID != token.ID || m.Client.OS != "Windows" {
			k.Errorf("%+v, %+v", token, m)
		}
		if byMail && len(strings.Fields(token.Phrase)) != 2 {
			k.Errorf("phrase %q", token.Phrase)
		}
		if n, err := k.raw.Count(k.ctx, store.Query{Index: record.Users.Primary()}); n != 0 || err != nil {
			k.Errorf("%d users before the redemption, %v", n, err)
		}
		k.forget()
		for range 2 {
			session, err := k.guest.CreateSession(k.ctx, token.UserID, m.Secret)
			k.must(err)
			account, err := k.guest.Authenticate(k.ctx, session.Secret)
			k.must(err)
			user, err := account.User(k.ctx)
			k.must(err)
			if user.ID != "wanted.id" || user.EmailVerification != byMail || user.PhoneVerification == byMail || len(user.Targets) != 1 ||
				user.Targets[0].Identifier != to || !user.PasswordUpdate.IsZero() {
				k.Errorf("%+v", user)
			}
			want := map[notify.Kind][2]string{notify.MagicURL: {"magic-url", "email"}, notify.EmailOTP: {"token", "email"}, notify.PhoneOTP: {"phone", "phone"}}[m.Kind]
			if session.Provider != want[0] || !slices.Equal(session.Factors, []string{want[1]}) || session.ProviderUID != to {
				k.Errorf("%+v", session)
			}
			if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, m.Secret)); err != latchkey.ErrInvalidToken {
				k.Errorf("again: %v", err)
			}
			token, err = ask(k.guest, "another.id")
			k.must(err)
			m = k.mail(to)
			if token.UserID != "another.id" { // concealed
				k.Errorf("%+v", token)
			}
		}
		// The true id serves as well as the one that was told.
		k.must(ignore(k.guest.CreateSession(k.ctx, "wanted.id", m.Secret)))
	})
}

func TestTokensDoNotSurviveTheirTimeOrTheirUse(t *testing.T) {
	onEveryAsker(t, documented, func(k *kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		token, err := ask(k.guest, "")
		k.must(err)
		secret := k.mail(to).Secret
		life := 15 * time.Minute
		if len(secret) == 64 {
			life = time.Hour
		}
		if token.Expire.Sub(k.clock.Now()) != life {
			k.Errorf("expires after %v", token.Expire.Sub(k.clock.Now()))
		}
		k.clock.Advance(life)
		if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, secret)); err != latchkey.ErrInvalidToken {
			k.Errorf("after its time: %v", err)
		}
		swept, err := k.Sweep(k.ctx)
		if swept.Tokens != 1 || err != nil {
			k.Errorf("%+v, %v", swept, err)
		}
	})
}

func TestCustomTokenWithinItsBounds(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		for _, bad := range []struct {
			length int
			expire time.Duration
		}{{3, 0}, {129, 0}, {-1, 0}, {0, time.Second}, {0, 366 * 24 * time.Hour}, {0, -time.Hour}} {
			if err := ignore(k.Users().CreateToken(k.ctx, user.ID, bad.length, bad.expire)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%+v: %v", bad, err)
			}
		}
		if err := ignore(k.Users().CreateToken(k.ctx, "nobody", 0, 0)); err != latchkey.ErrUserNotFound {
			k.Errorf("nobody: %v", err)
		}
		for _, length := range []int{0, 4, 32, 64, 65, 128} {
			token, err := k.Users().CreateToken(k.ctx, user.ID, length, 0)
			k.must(err)
			secret := token.Secret.Reveal()
			if want := max(length, 4+2*(1-min(length, 1))); len(secret) != want || strings.Trim(secret, "0123456789abcdef") != "" ||
				token.Expire.Sub(k.clock.Now()) != 15*time.Minute || token.UserID != user.ID {
				k.Errorf("length %d: %d characters, %+v", length, len(secret), token)
			}
			session, err := k.guest.CreateSession(k.ctx, user.ID, secret)
			k.must(err)
			if session.Provider != "token" || !slices.Equal(session.Factors, []string{"token"}) || session.UserID != user.ID {
				k.Errorf("%+v", session)
			}
		}
		shown, err := k.Users().Get(k.ctx, user.ID)
		k.must(err)
		if shown.EmailVerification || shown.PasswordUpdate.IsZero() {
			k.Errorf("it proves more than it should: %+v", shown)
		}
		token, err := k.Users().CreateToken(k.ctx, user.ID, 128, 365*24*time.Hour)
		k.must(err)
		k.clock.Advance(365*24*time.Hour - time.Microsecond)
		k.must(ignore(k.guest.CreateSession(k.ctx, user.ID, token.Secret.Reveal())))
	})
}

// Wrong codes cannot end a token that nobody could guess.
func TestLongCustomTokenOutlivesWrongCodes(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		token, err := k.Users().CreateToken(k.ctx, user.ID, 32, 0)
		k.must(err)
		for range 9 {
			if err := ignore(k.guest.CreateSession(k.ctx, user.ID, strings.Repeat("0", 32))); err != latchkey.ErrInvalidToken {
				k.Errorf("%v", err)
			}
		}
		k.must(ignore(k.guest.CreateSession(k.ctx, user.ID, token.Secret.Reveal())))
	})
}

// AC-018: one link, one session, however many use it at once; AC-038: of many
// guesses at once five are compared.
func TestAC018AndAC038ManyAtOnce(t *testing.T) {
	onEveryAsker(t, documented, func(k *kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		token, err := ask(k.guest, "")
		k.must(err)
		secret := k.mail(to).Secret
		var group sync.WaitGroup
		errs := make([]error, 100)
		for i := range errs {
			group.Go(func() {
				use := []string{"CreateSession", "UpdateMagicURLSession", "UpdatePhoneSession"}[i%3]
				errs[i] = ignore(redeemers[use](k.guest, k.ctx, token.UserID, secret))
			})
		}
		group.Wait()
		wins := 0
		for _, err := range errs {
			var slowed *latchkey.ThrottledError
			switch {
			case err == nil:
				wins++
			case err != latchkey.ErrInvalidToken && !errors.As(err, &slowed):
				k.Errorf("%v", err)
			}
		}
		if wins != 1 {
			k.Errorf("%d sessions of one token", wins)
		}
	})
	t.Run("guesses", func(t *testing.T) {
		onEveryStore(t, documented, func(k *kit) {
			token, secret := k.askCode(ada)
			var group sync.WaitGroup
			for range 50 {
				group.Go(func() {
					err := ignore(k.guest.CreateSession(k.ctx, token.UserID, other(secret)))
					var slowed *latchkey.ThrottledError
					if err != latchkey.ErrInvalidToken && !errors.As(err, &slowed) {
						k.Errorf("%v", err)
					}
				})
			}
			group.Wait()
			if n, err := k.raw.Count(k.ctx, store.Query{Index: record.Tokens.Primary()}); n != 0 || err != nil {
				k.Errorf("%d live codes after fifty wrong ones, %v", n, err)
			}
			if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, secret)); err == nil {
				k.Error("the code serves after fifty wrong ones")
			}
		})
	})
}

// other returns another code.
func other(code string) string {
	if code == "123456" {
		return "654321"
	}
	return "123456"
}

// AC-020: a new token ends the one before.
func TestAC020OnlyTheNewestWorks(t *testing.T) {
	onEveryAsker(t, documented, func(k *kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		first, err := ask(k.guest, "")
		k.must(err)
		old := k.mailOf(first, to).Secret
		second, err := ask(k.guest, "")
		k.must(err)
		if err := ignore(k.guest.CreateSession(k.ctx, first.UserID, old)); err != latchkey.ErrInvalidToken {
			k.Errorf("the older one: %v", err)
		}
		k.must(ignore(k.guest.CreateSession(k.ctx, second.UserID, k.mailOf(second, to).Secret)))
	})
}

// AC-021: the life is of the token, whatever another kind or a later policy has.
func TestAC021LifeIsStoredWithTheToken(t *testing.T) {
	onEveryStore(t, latchkey.Policy{OTPLength: time.Minute, MagicURLLength: 24 * time.Hour}, func(k *kit) {
		token, secret := k.askCode(ada)
		k.clock.Advance(time.Minute)
		if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, secret)); err != latchkey.ErrInvalidToken {
			k.Errorf("a code inside the life of a link: %v", err)
		}
	})
}

// AC-022: a token is of the address that it was sent to, whatever id comes with
// it.
func TestAC022CodeWithTheVictimsId(t *testing.T) {
	onEveryAsker(t, documented, func(k *kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		victim := k.signUp("victim@example.org")
		for _, id := range []string{"", victim.ID} { // asked for under the victim's id, too
			k.must(ignore(ask(k.guest, id)))
			secret := k.mail(to).Secret
			session, err := k.guest.CreateSession(k.ctx, victim.ID, secret)
			if err != latchkey.ErrInvalidToken {
				k.Errorf("%+v, %v", session, err)
			}
		}
		k.must(ignore(ask(k.guest, victim.ID)))
		m := k.mail(to)
		session, err := k.guest.CreateSession(k.ctx, m.UserID, m.Secret)
		k.must(err)
		if session.UserID == victim.ID {
			k.Error("the victim's account")
		}
	})
}

// AC-025: a secret of one purpose serves no other.
func TestAC025PurposesDoNotMix(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		session, _ := k.signIn(ada)
		k.must(ignore(k.guest.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada})))
		link := k.mail(ada).Secret
		if err := ignore(k.guest.Authenticate(k.ctx, latchkey.Secret(link))); err != latchkey.ErrUnauthorized {
			k.Errorf("a link as a session: %v", err)
		}
		for name, redeem := range redeemers {
			if err := ignore(redeem(k.guest, k.ctx, user.ID, session.Secret.Reveal())); err != latchkey.ErrInvalidToken {
				k.Errorf("a session as a link to %s: %v", name, err)
			}
		}
		if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, link)); err != latchkey.ErrInvalidCredentials {
			k.Errorf("a link as a password: %v", err)
		}
		// One code, as it were of another kind: the digests differ.
		token, code := k.askCode(ada)
		k.must(k.store.Store.Update(k.ctx, func(ctx context.Context, tx store.Tx) error {
			row, err := record.Tokens.Get(ctx, tx, record.Tokens.Primary(), store.Text(token.ID))
			if err != nil {
				return err
			}
			row.Kind = "phone"
			return record.Tokens.Replace(ctx, tx, row)
		}))
		if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, code)); err != latchkey.ErrInvalidToken {
			k.Errorf("a code of another kind: %v", err)
		}
	})
}

// AC-026, AC-027: a secret goes to allowed hosts alone.
func TestAC026AndAC027LinksLeadToAllowedHosts(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		for _, to := range []string{
			"https://evil.test/in", "https://app.example.org.evil.test/", "https://app.example.org@evil.test/", "//app.example.org/in",
			"app.example.org/in", "https:/app.example.org", "https:app.example.org", `https://evil.test\@app.example.org/`, `https://app.example.org\.evil.test`,
			"https://app.example.org:evil/", "https://app.example.org%2eevil.test/", "javascript:alert(1)//app.example.org", "https://app.example.org\r\n.evil.test",
			"https://аpp.example.org/", "data:text/html,x", "https://app.example.org:0/", "https://app.example.org./", "https://APP.example.org.:443",
		} {
			if err := ignore(k.guest.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada, URL: to})); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%q: %v", to, err)
			}
		}
		if n := k.Deliveries(); n != (latchkey.Deliveries{}) {
			k.Errorf("sent: %+v", n)
		}
		for to, want := range map[string]string{
			"https://app.example.org/a/../b?x=1&secret=planted&%75serId=mine#frag": "https://app.example.org/a/../b?x=1&userId=%s&secret=%s&expire=%s#frag",
			"HTTPS://App.Example.org:8443":                                         "https://App.Example.org:8443?userId=%s&secret=%s&expire=%s",
			"http://app.example.org/?":                                             "http://app.example.org/?userId=%s&secret=%s&expire=%s",
		} {
			token, err := k.guest.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada, URL: to})
			k.must(err)
			m := k.mail(ada)
			if got := fmt.Sprintf(want, m.UserID, m.Secret, url.QueryEscape(token.Expire.Format("2006-01-02T15:04:05.000+00:00"))); m.Link != got {
				k.Errorf("%q became %q, want %q", to, m.Link, got)
			}
		}
	})
}

// AC-028: one address, as it is stored.
func TestAC028MessageGoesToOneAddress(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		for _, email := range []string{
			ada + ",mallory@example.org", ada + " mallory@example.org", ada + "\r\nBcc: mallory@example.org", "<" + ada + ">", ada + "%0abcc:x@example.org", ada + "\x00",
		} {
			if err := ignore(k.guest.CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: email})); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%q: %v", email, err)
			}
		}
		for _, number := range []string{phone + ",+14155550109", phone + ";ext=1", " " + phone, phone + "\n"} {
			if err := ignore(k.guest.CreatePhoneToken(k.ctx, "", number)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%q: %v", number, err)
			}
		}
		k.must(ignore(k.guest.CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: "ADA@Example.ORG"})))
		if m := k.mail(ada); m.To != ada {
			k.Errorf("it went to %q", m.To)
		}
	})
}

// AC-031: who follows a link to look at it does not use it up.
func TestAC031LinkCanBeLookedAt(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		token, err := k.guest.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada})
		k.must(err)
		secret := k.mail(ada).Secret
		k.forget()
		before := k.everything()
		for range 3 {
			seen, err := k.guest.InspectToken(k.ctx, token.UserID, secret)
			k.must(err)
			if seen.ID != token.ID || !seen.Expire.Equal(token.Expire) || seen.Secret != "" {
				k.Errorf("%+v", seen)
			}
		}
		if err := ignore(k.guest.InspectToken(k.ctx, "somebody", secret)); err != latchkey.ErrInvalidToken {
			k.Errorf("with another id: %v", err)
		}
		k.same("rows", k.everything(), before)
		code, digits := k.askCode("bob@example.org")
		if err := ignore(k.guest.InspectToken(k.ctx, code.UserID, digits)); err != latchkey.ErrInvalidToken {
			k.Errorf("a code: %v", err)
		}
		k.must(ignore(k.guest.CreateSession(k.ctx, token.UserID, secret)))
		if err := ignore(k.guest.InspectToken(k.ctx, token.UserID, secret)); err != latchkey.ErrInvalidToken {
			k.Errorf("after its use: %v", err)
		}
	})
}

// AC-032: secrets are compared whole and as they are.
func TestAC032AlteredSecretsAreRefused(t *testing.T) {
	onEveryAsker(t, documented, func(k *kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		token, err := ask(k.guest, "")
		k.must(err)
		secret := k.mail(to).Secret
		for _, altered := range []string{
			secret[1:], secret[:len(secret)-1], secret + "0", "0" + secret, " " + secret, secret + " ", secret + "\n", secret + "=", strings.ToUpper(secret) + "",
			strings.Replace(secret, secret[:1], "\u0660", 1),
		} {
			if altered == secret {
				continue
			}
			if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, altered)); err != latchkey.ErrInvalidToken {
				k.Errorf("%q: %v", altered, err)
			}
		}
		for _, bad := range []string{"", strings.Repeat("0", 257), "\xff"} {
			if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, bad)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%q: %v", bad, err)
			}
		}
		k.must(ignore(k.guest.CreateSession(k.ctx, token.UserID, secret)))
	})
}

// AC-033: secrets and codes do not repeat, and are spread evenly.
func TestAC033SecretsCannotBePredicted(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.guest = k.Guest(latchkey.Client{Server: true})
		seen, first := make(map[string]bool), make(map[byte]int)
		for n := range 200 {
			link, err := k.guest.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: fmt.Sprintf("u%d@example.org", n%10)})
			k.must(err)
			code, err := k.guest.CreatePhoneToken(k.ctx, "", phone)
			k.must(err)
			if s := link.Secret.Reveal(); len(s) != 64 || seen[s] {
				k.Errorf("link %q", s)
			} else {
				seen[s] = true
			}
			c := code.Secret.Reveal()
			if len(c) != 6 || strings.Trim(c, "0123456789") != "" {
				k.Errorf("code %q", c)
			}
			first[c[0]]++
		}
		for digit, n := range first {
			if len(first) != 10 || n > 60 {
				k.Errorf("%d of 200 codes begin with %c", n, digit)
			}
		}
	})
}

// AC-034: what is in a link serves once and for a while; a session's secret is
// never in one.
func TestAC034NothingLastingIsInALink(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.must(ignore(k.guest.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada, URL: "https://app.example.org/in"})))
		m := k.mail(ada)
		session, err := k.guest.CreateSession(k.ctx, m.UserID, m.Secret)
		k.must(err)
		if strings.Contains(m.Link, session.Secret.Reveal()) || session.Secret.Reveal() == m.Secret {
			k.Error("the session's secret was in the link")
		}
	})
}

// AC-003: unknown, known, verified and blocked addresses get one answer, with
// the same calls of the store and the same number of rows; nothing goes to who
// is blocked.
func TestAC003TokensTellNothingOfTheAddress(t *testing.T) {
	for name, ask := range askers {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				type cost struct {
					Updates, Calls, Reads int64
					Tokens, Logs, Hashes  int
				}
				measure := func() (c cost) {
					rows := k.everything()
					tokens, logs, hashes := len(rows["tokens"]), len(rows["logs"]), k.hasher.Hashes()
					k.store.Reset()
					token, err := ask(k, k.guest, "asked.for")
					k.must(err)
					c = cost{Updates: k.store.Updates.Load(), Calls: k.store.Calls.Load(), Reads: k.store.Reads.Load()}
					rows = k.everything()
					c.Tokens, c.Logs, c.Hashes = len(rows["tokens"])-tokens, len(rows["logs"])-logs, int(k.hasher.Hashes()-hashes)
					if token.UserID != "asked.for" || token.Secret != "" {
						k.Errorf("%+v", token)
					}
					return c
				}
				unknown := measure()
				user := k.signUp(ada)
				k.must(ignore(k.Users().UpdatePhone(k.ctx, user.ID, phone)))
				endTokens := func() {
					k.must(k.store.Store.Update(k.ctx, func(ctx context.Context, tx store.Tx) error {
						_, err := tx.DeleteRange(ctx, store.Query{Index: record.Tokens.Primary(), Limit: 100})
						return err
					}))
				}
				endTokens()
				k.same("known", measure(), unknown)
				endTokens()
				k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, true)))
				k.must(ignore(k.Users().UpdatePhoneVerification(k.ctx, user.ID, true)))
				k.same("verified", measure(), unknown)
				endTokens()
				k.must(ignore(k.Users().UpdateStatus(k.ctx, user.ID, false)))
				k.same("blocked", measure(), unknown)
				k.must(k.Close())
				if n := len(k.box.All()); n != 3 {
					k.Errorf("%d messages", n)
				}
			})
		})
	}
}

func TestBlockedUserIsToldSoWithTheRightSecretOnly(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, true)))
		token, secret := k.askCode(ada)
		k.must(ignore(k.Users().UpdateStatus(k.ctx, user.ID, false)))
		if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, other(secret))); err != latchkey.ErrInvalidToken {
			k.Errorf("wrong: %v", err)
		}
		if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, secret)); err != latchkey.ErrUserBlocked {
			k.Errorf("right: %v", err)
		}
		list, err := k.Users().Sessions(k.ctx, user.ID)
		if err != nil || list.Total != 0 {
			k.Errorf("%+v, %v", list, err)
		}
	})
}

func TestDiscloseAccountsAnswersWithTheUsersId(t *testing.T) {
	onEveryAsker(t, latchkey.Policy{DiscloseAccounts: true}, func(k *kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		first, err := ask(k.guest, "first")
		k.must(err)
		second, err := ask(k.guest, "second")
		k.must(err)
		if first.UserID != "first" || second.UserID != "first" {
			k.Errorf("%s, then %s", first.UserID, second.UserID)
		}
		k.must(ignore(k.guest.CreateSession(k.ctx, "first", k.mailOf(second, to).Secret)))
		third, err := ask(k.guest, "third")
		k.must(err)
		if third.UserID != "first" {
			k.Errorf("then %s", third.UserID)
		}
	})
}

func TestTokensFollowPolicyAndChannels(t *testing.T) {
	onEveryStore(t, latchkey.Policy{Disabled: latchkey.MagicURL | latchkey.EmailOTP | latchkey.Phone, UserLimit: 1}, func(k *kit) {
		server := k.Guest(latchkey.Client{Server: true})
		var tokens []*latchkey.Token
		for name, ask := range askers {
			if err := ignore(ask(k, k.guest, "")); !errors.Is(err, latchkey.ErrAuthMethodUnsupported) {
				k.Errorf("%s: %v", name, err)
			}
			token, err := ask(k, server, "")
			k.must(err)
			if token.Secret == "" {
				k.Errorf("%s: the server does not get the secret", name)
			}
			tokens = append(tokens, token)
		}
		k.signUp("first@example.org")
		for _, token := range tokens { // redeeming is no way in that is switched off
			if err := ignore(k.guest.CreateSession(k.ctx, token.UserID, token.Secret.Reveal())); err != latchkey.ErrUserCountExceeded {
				k.Errorf("%v", err)
			}
		}
		deaf, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: k.hasher, Now: k.clock.Now})
		k.must(err)
		if err := ignore(deaf.Guest(testClient).CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: ada})); err != latchkey.ErrSMTPDisabled {
			k.Errorf("without mail: %v", err)
		}
		if err := ignore(deaf.Guest(testClient).CreatePhoneToken(k.ctx, "", phone)); err != latchkey.ErrPhoneDisabled {
			k.Errorf("without SMS: %v", err)
		}
	})
}

// AC-115, AC-116: what comes from outside is one capped field; no secret is
// printed.
func TestAC115AndAC116MessagesAndLogsOfTokens(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		guest := k.Guest(latchkey.Client{UserAgent: "x\r\nfake line\x1b[31m" + strings.Repeat("y", 5000)})
		token, err := guest.CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: ada})
		k.must(err)
		m := k.mail(ada)
		_ = ignore(guest.CreateSession(k.ctx, token.UserID, "no\r\ncode"))
		for _, table := range []string{"logs", "tokens"} {
			for _, line := range k.everything()[table] {
				if strings.Contains(line, m.Secret) || table == "logs" && strings.Contains(line, `\r`) || len(line) > 2000 {
					k.Errorf("%s: %q", table, line)
				}
			}
		}
		if text := fmt.Sprintf("%v %+v %#v %s", m, m, m, m); strings.Contains(text, m.Secret) || strings.Contains(text, ada) {
			k.Errorf("printed: %s", text)
		}
	})
}

// What a redemption checks and what it changes is one transaction.
func TestRedemptionIsOneCommit(t *testing.T) {
	onEveryAsker(t, documented, func(k *kit, ask func(*latchkey.Guest, string) (*latchkey.Token, error), to string) {
		for range 2 { // signing up, and in
			token, err := ask(k.guest, "")
			k.must(err)
			secret := k.mailOf(token, to).Secret
			k.store.Reset()
			k.must(ignore(k.guest.CreateSession(k.ctx, token.UserID, secret)))
			if updates, reads := k.store.Updates.Load(), k.store.Reads.Load(); updates != 1 || reads != 0 {
				k.Errorf("%d transactions and %d reads beside them", updates, reads)
			}
		}
	})
}

// Live codes are readable with an old key, and keep it needed.
func TestCodesSurviveAnotherKey(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		token, secret := k.askCode(ada)
		old := k.keys.Active
		k.keys = latchkey.Keys{Active: latchkey.GenerateKey(), Old: []latchkey.Key{old}}
		k.Engine = k.withKeys(k.keys)
		k.guest = k.Guest(testClient)
		resealed, err := k.Reseal(k.ctx)
		k.must(err)
		if resealed.Left[old.ID()] != 1 || len(resealed.Left) != 1 {
			k.Errorf("%+v", resealed)
		}
		k.must(ignore(k.guest.CreateSession(k.ctx, token.UserID, secret)))
		resealed, err = k.Reseal(k.ctx)
		if err != nil || len(resealed.Left) != 0 {
			k.Errorf("%+v, %v", resealed, err)
		}
	})
}
