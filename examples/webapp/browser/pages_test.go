package browser

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"

	"example.com/latchkey/notify"
)

// visits are ways through the site that come to every page, in the states that it has. inspect is called on each,
// with the name of the page's file, and the state after a colon.
var visits = map[string]func(s *site, inspect func(*tab, string)){
	"guest": func(s *site, inspect func(*tab, string)) {
		b := s.visitor()
		b.open("/")
		inspect(b, "home")
		b.click("Sign up")
		inspect(b, "sign-up")
		b.write("Name", "Ada")
		b.write("E-mail address", "ada@example")
		b.write("Password, at least 8 characters", "short")
		b.click("Sign up")
		inspect(b, "sign-up:refused")
		b.open("/sign-in?next=/teams")
		inspect(b, "sign-in")
		b.write("E-mail address", bob)
		b.write("Password", "wrong wrong")
		b.click("Sign in")
		inspect(b, "sign-in:refused")
		b.open("/sign-in?done=signed-out")
		inspect(b, "sign-in:done")
		b.open("/recover")
		inspect(b, "recover")
		b.write("E-mail address", bob)
		b.click("Send the link")
		inspect(b, "sent")
		b.open("/nothing")
		inspect(b, "error:not-found")
	},
	"new": func(s *site, inspect func(*tab, string)) {
		b := s.visitor()
		b.signUp("Ada", ada)
		inspect(b, "verify")
		b.write("E-mail address", "countess@example.org")
		b.write("Password", "wrong wrong")
		b.click("Change the address")
		inspect(b, "verify:refused")
		link := s.mail(ada, notify.EmailVerification)
		b.open(link)
		inspect(b, "link-verify")
		b.click("Confirm")
		b.open(link)
		inspect(b, "dead-link")
	},
	"mails": func(s *site, inspect func(*tab, string)) {
		s.member(ada)
		b := s.visitor()
		b.open("/sign-in")
		b.write("E-mail address", ada)
		b.click("Send a code")
		inspect(b, "code")
		b.write("Code", "000000")
		b.click("Sign in")
		inspect(b, "code:refused")
		b.open("/sign-in")
		b.write("E-mail address", ada)
		b.click("Send a link")
		b.open(s.mail(ada, notify.MagicURL))
		inspect(b, "link-sign-in")
		b.open("/recover")
		b.write("E-mail address", ada)
		b.click("Send the link")
		b.open(s.mail(ada, notify.Recovery))
		inspect(b, "link-recover")
		b.write("New password, at least 8 characters", "short")
		b.click("Set the password")
		inspect(b, "link-recover:refused")
	},
	"account": func(s *site, inspect func(*tab, string)) {
		s.member(ada)
		b := s.visitor()
		b.signIn(ada)
		b.open("/")
		inspect(b, "home:signed-in")
		b.click("Your account")
		inspect(b, "account")
		b.click("Link one")
		inspect(b, "account:linked")
		b.unfold("Change the name")
		b.unfold("Change the password")
		b.unfold("Change the e-mail address")
		b.write("New e-mail address", "nobody")
		inspect(b, "account:unfolded")
		b.unfold("Change the password")
		b.write("Present password", "wrong wrong")
		b.write("New password, at least 8 characters", "another battery staple")
		b.submit()
		inspect(b, "account:refused")
	},
	"devices": func(s *site, inspect func(*tab, string)) {
		s.member(ada)
		b := s.visitor()
		b.signIn(ada)
		b.open("/account/log")
		inspect(b, "log")
		b.open("/account/delete")
		inspect(b, "delete")
		b.click("Delete the account")
		inspect(b, "delete:refused")
		other := s.browser()
		other.isA("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "en")
		other.signIn(ada)
		b.open("/account/sessions")
		inspect(b, "sessions")
	},
	"changes": func(s *site, inspect func(*tab, string)) {
		s.member(ada)
		b := s.visitor()
		b.signIn(ada)
		b.unfold("Change the e-mail address")
		b.write("New e-mail address", "countess@example.org")
		b.write("Password", password)
		b.submit()
		inspect(b, "account:done")
		b.open(s.mail("countess@example.org", notify.EmailChange))
		inspect(b, "link-email")
		b.click("Change the address")
		b.open(s.mail(ada, notify.EmailChanged))
		inspect(b, "link-restore")
		s.Clock.Advance(time.Hour)
		b.open("/account/factors")
		b.click("Set it up")
		inspect(b, "factor:password")
		b.write("Password", "wrong wrong")
		b.click("Confirm")
		inspect(b, "factor:password-refused")
	},
	"service": func(s *site, inspect func(*tab, string)) {
		b := s.visitor()
		b.open("/sign-in")
		b.click("Sign in by another service")
		inspect(b, "account:without-password")
	},
	"factors": func(s *site, inspect func(*tab, string)) {
		s.member(ada)
		b := s.visitor()
		b.signIn(ada)
		b.open("/account/factors")
		inspect(b, "factors:off")
		b.open("/account/factors/codes")
		inspect(b, "codes:none")
		b.open("/account/factors")
		b.click("Set it up")
		inspect(b, "enrol")
		b.write("Code from your authenticator app", "000000")
		b.click("Confirm")
		inspect(b, "enrol:refused")
		app, _ := b.enrol()
		b.open("/account/factors/codes")
		b.write("Code from your authenticator app", app.Code())
		b.click("Confirm")
		inspect(b, "codes")
		b.open("/account/factors")
		inspect(b, "factors")
		other := s.visitor()
		other.signIn(ada)
		inspect(other, "factor")
		other.unfold("Use a recovery code")
		other.write("Code from your authenticator app", "000000")
		other.submit()
		inspect(other, "factor:refused")
		other.click("Send a code by mail")
		inspect(other, "factor:sent")
		s.Clock.Advance(time.Hour)
		b.open("/account/factors")
		b.click("Switch two-factor authentication off")
		inspect(b, "factor:confirm")
	},
	"passkeys": func(s *site, inspect func(*tab, string)) {
		b, device := s.keeper(ada)
		b.inject(withoutOffers)
		b.open("/sign-in")
		b.unverified(device, true)
		b.clickPasskey("Sign in with a passkey")
		inspect(b, "sign-in:passkey-refused")
		b.unverified(device, false)
		b.clickPasskey("Sign in with a passkey")
		b.click("Manage Passkeys")
		inspect(b, "passkeys")
		s.Clock.Advance(time.Hour)
		b.click("Delete Telephone")
		inspect(b, "factor:passkey")
		b.clickPasskey("Use a passkey")
		b.unfold("Rename Telephone")
		b.write("Name of the passkey", " ")
		b.click("Save")
		inspect(b, "passkeys:refused")
		b.open("/account/passkeys")
		b.clickPasskey("Add a passkey")
		inspect(b, "passkey")
	},
	"teams": func(s *site, inspect func(*tab, string)) {
		s.member(ada)
		b, other := s.visitor(), s.signedIn("bob.the.builder.of.bridges@engineering.example.org")
		b.signIn(ada)
		b.open("/teams")
		inspect(b, "teams:none")
		b.makeTeam("The society for the analytical engine")
		other.open(b.invite("bob.the.builder.of.bridges@engineering.example.org"))
		other.click("Accept")
		link := b.invite("carol@example.org")
		inspect(b, "team")
		b.click("Leave")
		inspect(b, "team:refused")
		b.open("/teams")
		inspect(b, "teams")
		guest := s.visitor()
		guest.open(link)
		inspect(guest, "link-invitation")
		other.scripts(true)
		other.reload()
		inspect(other, "team:member")
	},
	"back office": func(s *site, inspect func(*tab, string)) {
		s.signedIn(bob).makeTeam("Engines")
		for _, name := range []string{"carol", "dan", "eve.with.a.very.long.address.that.does.not.end", "fay", "grace", "heidi"} {
			s.member(name + "@example.org")
		}
		user := s.member("ivan@example.org")
		if _, err := s.Users().UpdateStatus(s.t.Context(), user.ID, false); err != nil {
			s.t.Fatal(err)
		}
		b := s.staff(ada)
		b.scripts(true)
		b.reload()
		inspect(b, "admin-users")
		b.click("Bob")
		inspect(b, "admin-user")
		b.open("/admin/users/" + user.ID)
		inspect(b, "admin-user:blocked")
		b.open("/admin/teams")
		inspect(b, "admin-teams")
		b.click("Engines")
		inspect(b, "admin-team")
		other := s.visitor()
		other.signIn(bob)
		other.open("/admin/users")
		inspect(other, "error:forbidden")
	},
}

// TestTheLookFindsBarriers spoils a page, and looks whether the rules of TestPages notice.
func TestTheLookFindsBarriers(t *testing.T) {
	for name, c := range map[string]struct{ spoil, want string }{
		"label":    {"document.querySelector('label[for=email]').remove()", "(label)"},
		"contrast": {"document.querySelector('h1').style.color = '#999'", "(color-contrast)"},
		"language": {"document.documentElement.removeAttribute('lang')", "(html-has-lang)"},
		"heading":  {"document.querySelector('h1').outerHTML = '<h4>Sign in</h4>'", "(page-has-heading-one)"},
		"target":   {"document.querySelectorAll('footer button').forEach(b => b.style.cssText = 'padding:0;font-size:5px;line-height:5px;margin-right:-1rem')", "(target-size)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.visitor()
			b.open("/sign-in")
			b.colours("light")
			eval[bool](b, c.spoil+", true")
			if found := strings.Join(b.barriers(b.world(), allRules), "\n"); !strings.Contains(found, c.want) {
				t.Errorf("%s is not found:\n%s", c.want, found)
			}
		})
	}
	t.Run("width", func(t *testing.T) {
		s := newSite(t)
		b := s.visitor()
		b.open("/sign-in")
		b.size(narrow)
		eval[bool](b, "document.querySelector('h1').style.width = '400px', true")
		if b.width() <= narrow {
			t.Error("a wide page is not found")
		}
	})
}

func TestTheTestsNoticeWhatNoPageMayDo(t *testing.T) {
	for name, c := range map[string]struct{ do, want string }{
		"elsewhere": {"location.href = 'http://127.0.0.1:1/'", "a request leaves the site: http://127.0.0.1:1/"},
		"script":    {"document.body.append(Object.assign(document.createElement('script'), {src: '/static/x.js'}))", "a page loads a Script"},
		"inline":    {"document.body.append(Object.assign(document.createElement('script'), {textContent: '1'}))", "Content Security Policy"},
		"picture":   {"document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:1/x.png'}))", "Content Security Policy"},
		"console":   {"console.log('x')", "a script writes to the console"},
		"failure":   {"setTimeout(() => nothing)", "a script fails"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.visitor()
			b.open("/sign-in")
			call(b, runtime.Evaluate, runtime.EvaluateParams{Expression: c.do})
			for late := time.After(patience); ; {
				b.mu.Lock()
				noticed := strings.Join(b.faults, "\n")
				changed := b.heard
				b.mu.Unlock()
				if strings.Contains(noticed, c.want) {
					break
				}
				select {
				case <-changed:
				case <-late:
					t.Fatalf("not noticed; only\n%s", noticed)
				}
			}
			b.forgiven = true
		})
	}
}

// TestPages looks at every page: whether a screen reader and a narrow window show it, and in which colours.
func TestPages(t *testing.T) {
	pictures := *screenshots
	if pictures == "" {
		pictures = t.TempDir()
	} else if err := os.MkdirAll(pictures, 0o700); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen, ran := map[string]bool{"layout": true}, 0
	t.Run("visit", func(t *testing.T) {
		for _, name := range slices.Sorted(maps.Keys(visits)) {
			t.Run(name, func(t *testing.T) {
				s := newSite(t)
				s.pictures = pictures
				visits[name](s, func(b *tab, page string) {
					b.inspect(strings.ReplaceAll(page, ":", "~"))
					mu.Lock()
					defer mu.Unlock()
					file, _, _ := strings.Cut(page, ":")
					seen[file] = true
				})
				mu.Lock()
				defer mu.Unlock()
				ran++
			})
		}
	})
	if ran < len(visits) { // some have failed, or were not asked for
		return
	}
	files, err := filepath.Glob("../site/pages/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".html"); !seen[name] {
			t.Errorf("no visit comes to %s", name)
		}
	}
}
