package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
)

func TestMailsAreInTheLanguageOfTheirReader(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mail.txt")
	mail, err := openMail(file, "Webapp")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []notify.Kind{
		notify.MagicURL, notify.EmailOTP, notify.EmailVerification, notify.EmailChange, notify.Recovery, notify.Challenge, notify.Invitation,
		notify.EmailChanged, notify.SessionAlert, notify.PasswordChanged, notify.FactorsChanged, notify.IdentityChanged, notify.AccountDeleted,
	} {
		for lang, want := range map[string]string{"de": "Sie", "en": "you", "fr": "you"} {
			m := templates.Sample(kind, notify.Email)
			m.Locale = lang
			if err := os.Truncate(file, 0); err != nil {
				t.Fatal(err)
			}
			if err := mail.Notify(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "  Sie") {
				t.Errorf("%s in %s: %s, %v", kind, lang, text, err)
			}
			for _, secret := range []string{m.Link.Reveal(), m.Phrase} {
				if secret != "" && !strings.Contains(string(text), secret) && !strings.Contains(string(text), strings.ReplaceAll(secret, "&", "&amp;")) {
					t.Errorf("%s in %s lacks %q: %s", kind, lang, secret, text)
				}
			}
		}
	}
	if err := mail.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPasskeysAreBoundToTheNameOfTheSite(t *testing.T) {
	for base, want := range map[string]string{
		"http://localhost:8080": "localhost", "https://app.example.org": "app.example.org", "https://example.org:8443": "example.org",
		"http://127.0.0.1:8080": "", "http://[::1]:8080": "", "https://192.0.2.1": "", "https://[2001:db8::1]": "", "http://example.org": "", "https://intranet": "", "http://:8080": "",
	} {
		passkeys, err := newPasskeys(options{base: base, name: "Webapp"})
		if err != nil || (passkeys == nil) != (want == "") || passkeys != nil && passkeys.RPID() != want {
			t.Errorf("%s: %v, %v", base, passkeys, err)
		}
	}
	if passkeys, err := newPasskeys(options{base: "https://example.org/path", name: "Webapp"}); err == nil {
		t.Errorf("a path has passkeys of %q", passkeys.RPID())
	}
}

func TestTheKeyIsMadeOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "webapp.key")
	made, err := readKey(file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := readKey(file)
	if err != nil || again.ID() != made.ID() {
		t.Errorf("another key at the second start: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read the key: %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readKey(file); err == nil {
		t.Error("a broken key is taken")
	}
}
