package attack_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/query"
)

// hostFactor is a factor of the host's that fails.
type hostFactor struct{ check func() (bool, error) }

func (hostFactor) Begin(context.Context, string, string) error { return nil }

func (h hostFactor) Check(context.Context, string, string, string) (bool, error) { return h.check() }

// A fault of a function of the host's is logged once too, and the host's own errors come back as they
// are.
func TestAttack26bFaultsOfTheHostsFunctions(t *testing.T) {
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		for name, check := range map[string]func() (bool, error){
			"error": func() (bool, error) { return false, errHole }, "panic": func() (bool, error) { panic(errHole) },
		} {
			e := under(k, func(c *latchkey.Config) { c.CustomFactor, c.Logger = hostFactor{check}, slog.New(k.Logged) })
			session, err := e.Users().CreateSession(k.Ctx, account.UserID())
			k.Must(err)
			own, err := e.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			k.Logged.Take()
			if err := kit.Err(k.Answers(own, latchkey.FactorCustom, "sesame-secret")); err == nil {
				k.Errorf("%s: no error", name)
			}
			if all := k.Logged.Take(); len(all) != 1 || strings.Contains(all[0], "sesame") {
				k.Errorf("%s is logged as %q", name, all)
			}
		}
		mine := errors.New("mine")
		k.Store.Reset()
		k.Must(k.Ping(k.Ctx))
		k.Same("reads of Ping", k.Store.Reads.Load()+k.Store.Updates.Load(), int64(1))
		for what, err := range map[string]error{
			"import": kit.Err(k.Import(k.Ctx, func(yield func(latchkey.Portable, error) bool) { yield(latchkey.Portable{}, mine) }, latchkey.ImportOptions{})),
			"export": k.Export(k.Ctx, latchkey.ExportOptions{}, func(latchkey.Portable) error { return mine }),
		} {
			if all := k.Logged.Take(); !errors.Is(err, mine) || len(all) != 0 {
				k.Errorf("%s: %v, %q", what, err, all)
			}
		}
		var wrapped error
		err := k.Export(k.Ctx, latchkey.ExportOptions{}, func(latchkey.Portable) error {
			reached := failAt(k, 1, false)
			wrapped = fmt.Errorf("mine: %w", kit.Err(k.Users().Get(k.Ctx, account.UserID())))
			reached()
			return wrapped
		})
		if all := k.Logged.Take(); err != wrapped || len(all) != 1 {
			k.Errorf("an error of the host's that holds a fault: %q, want %q; %q", err, wrapped, all)
		}
	})
}

// An error names the argument that is refused, with a code of the list, and its message repeats no
// input.
func TestAttack26bErrorsNameTheArgumentAndRepeatNoInput(t *testing.T) {
	codes := strings.Fields("missing malformed not_utf8 too_short too_long too_many out_of_range repeated unknown not_allowed conflict too_common no_uppercase no_lowercase no_number no_symbol")
	const marker = "zqxmarker"
	onMemory(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		session, account := k.SignIn(kit.Ada)
		server := k.Users()
		other, err := server.Create(k.Ctx, latchkey.NewUser{UserID: "other", Email: "other@example.org"})
		k.Must(err)
		long := strings.Repeat(marker, 600)
		e := under(k, func(c *latchkey.Config) {
			p := &c.Policy.Password
			p.Uppercase, p.Lowercase, p.Number, p.Symbols, p.Dictionary = true, true, true, true, true
		})
		set := func(p string) error { return kit.Err(e.Users().UpdatePassword(k.Ctx, user.ID, p)) }
		bad := "https://" + marker + ".example.net/"
		start := func(r latchkey.OAuth2Request) error {
			if r.Provider == "" {
				r.Provider = "acme"
			}
			if r.RedirectURL == "" {
				r.RedirectURL = kit.CallbackURL
			}
			return kit.Err(k.Visitor.StartOAuth2(k.Ctx, r))
		}
		for what, c := range map[string]struct {
			err              error
			argument, reason string
		}{
			"sign-up, no address":     {kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Password: marker})), "email", "malformed"},
			"sign-up, address":        {kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: marker, Password: marker})), "email", "malformed"},
			"sign-up, id":             {kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{UserID: marker + "!", Email: kit.Bob, Password: marker})), "userId", "malformed"},
			"sign-up, name":           {kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: marker, Name: long})), "name", "malformed"},
			"sign-up, short password": {kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: "zqxmark"})), "password", "too_short"},
			"sign-up, long password":  {kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: long})), "password", "too_long"},
			"sign-up, not UTF-8":      {kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: marker + "\xff"})), "password", "not_utf8"},
			"no uppercase":            {set("zqxmarker1!"), "password", "no_uppercase"},
			"no lowercase":            {set("ZQXMARKER1!"), "password", "no_lowercase"},
			"no number":               {set("ZQXmarker!!"), "password", "no_number"},
			"no symbol":               {set("ZQXmarker11"), "password", "no_symbol"},
			"number":                  {kit.Err(account.UpdatePhone(k.Ctx, marker, kit.Password)), "phone", "malformed"},
			"number of service":       {kit.Err(account.UpdatePhone(k.Ctx, "+87012345678", kit.Password)), "phone", "not_allowed"},
			"server's number":         {kit.Err(server.UpdatePhone(k.Ctx, user.ID, marker)), "number", "malformed"},
			"address, taken":          {kit.Err(account.UpdateEmail(k.Ctx, other.Email, kit.Password)), "email", ""},
			"address":                 {kit.Err(account.UpdateEmail(k.Ctx, marker, kit.Password)), "email", "malformed"},
			"change, address":         {kit.Err(account.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: marker}, kit.Password)), "email", "malformed"},
			"change, page":            {kit.Err(account.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: kit.Bob, URL: bad}, kit.Password)), "url", "not_allowed"},
			"change, undo page":       {kit.Err(account.ConfirmEmailChange(k.Ctx, kit.UnknownLink, bad)), "undoURL", "not_allowed"},
			"change, long undo page":  {kit.Err(account.ConfirmPhoneChange(k.Ctx, "123456", "https://app.example.org/"+long)), "undoURL", "too_long"},
			"name":                    {kit.Err(account.UpdateName(k.Ctx, long)), "name", "malformed"},
			"prefs":                   {kit.Err(account.UpdatePrefs(k.Ctx, []byte(marker))), "prefs", "malformed"},
			"prefs twice":             {kit.Err(account.UpdatePrefs(k.Ctx, []byte(`{"zqxmarker":1,"zqxmarker":2}`))), "prefs", "repeated"},
			"session":                 {kit.Err(account.GetSession(k.Ctx, marker+"!")), "sessionId", "malformed"},
			"factor":                  {kit.Err(account.CreateMFAChallenge(k.Ctx, marker)), "factor", "unknown"},
			"challenge":               {kit.Err(account.ConfirmMFAChallenge(k.Ctx, marker+"!", "1")), "challengeId", "malformed"},
			"answer":                  {kit.Err(account.ConfirmMFAChallenge(k.Ctx, marker, "")), "otp", "out_of_range"},
			"authenticator":           {kit.Err(account.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{Algorithm: marker})), "algorithm", "unknown"},
			"verification, no page":   {kit.Err(account.CreateEmailVerification(k.Ctx, "")), "url", "missing"},
			"link, page":              {kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Bob, URL: bad})), "url", "not_allowed"},
			"link, malformed page":    {kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Bob, URL: "https://" + marker + "@app.example.org/"})), "url", "malformed"},
			"secret":                  {kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, "")), "secret", "out_of_range"},
			"JWT":                     {kit.Err(account.CreateJWT(k.Ctx, -1)), "duration", "out_of_range"},
			"provider":                {start(latchkey.OAuth2Request{Provider: marker + "!"}), "provider", "malformed"},
			"success":                 {start(latchkey.OAuth2Request{Success: bad}), "success", "not_allowed"},
			"scopes":                  {start(latchkey.OAuth2Request{Scopes: []string{marker + "\n"}}), "scopes", "malformed"},
			"labels":                  {kit.Err(server.UpdateLabels(k.Ctx, user.ID, []string{marker + "!"})), "labels", "malformed"},
			"token length":            {kit.Err(server.CreateToken(k.Ctx, user.ID, 1, 0)), "length", "out_of_range"},
			"order":                   {kit.Err(server.List(k.Ctx, query.OrderAsc(marker))), "queries", "unknown"},
			"attribute":               {kit.Err(server.List(k.Ctx, query.Equal(marker, "a"))), "queries", "unknown"},
			"value":                   {kit.Err(server.List(k.Ctx, query.Equal("$createdAt", marker))), "queries", "malformed"},
			"search":                  {kit.Err(server.List(k.Ctx, query.Search(long))), "search", "too_long"},
			"wrong password":          {kit.Err(account.ConfirmPassword(k.Ctx, marker)), "", ""},
			"signing in, address":     {kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, marker, marker)), "email", "malformed"},
			"signing in, length":      {kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, long)), "", ""},
			"signing in, empty":       {kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "")), "", ""},
			"team":                    {kit.Err(k.Engine.Teams().Get(k.Ctx, marker+"!")), "teamId", "malformed"},
		} {
			var own *latchkey.Error
			if !errors.As(c.err, &own) {
				k.Errorf("%s: %v", what, c.err)
				continue
			}
			if own.Argument != c.argument || own.Reason != c.reason || own.Reason != "" && !slices.Contains(codes, own.Reason) {
				k.Errorf("%s: %q for %q (%v), want %q for %q", what, own.Reason, own.Argument, own, c.reason, c.argument)
			}
			for _, input := range []string{marker, kit.Password, session.Secret.Reveal(), user.ID} {
				if own.Argument != "queries" && strings.Contains(strings.ToLower(own.Message), strings.ToLower(input)) { // a program writes queries
					k.Errorf("%s: the message repeats the input: %s", what, own.Message[:min(len(own.Message), 200)])
				}
			}
		}
	})
}
