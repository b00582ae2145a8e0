package mailclass

import (
	"slices"
	"strings"
	"testing"

	"example.com/latchkey/internal/canon"
)

func TestAliasesLeadBackToOneAddress(t *testing.T) {
	for in, want := range map[string]string{
		"ada@gmail.com": "ada@gmail.com", "a.d.a@gmail.com": "ada@gmail.com", "ada+shop@gmail.com": "ada@gmail.com",
		"a.d.a+sh.op+2@googlemail.com": "ada@gmail.com", "a.+b@gmail.com": "a@gmail.com", "a-d_a@gmail.com": "a-d_a@gmail.com",
		"+shop@gmail.com": "+shop@gmail.com", "ada@sub.gmail.com": "ada@sub.gmail.com", "a.da+x@notgmail.com": "a.da+x@notgmail.com",

		"ada.l@outlook.com": "ada.l@outlook.com", "ada.l+shop@outlook.com": "ada.l@outlook.com", "ada+x@hotmail.co.uk": "ada@hotmail.co.uk",
		"ada+x@outlook.de": "ada@outlook.de", "ada+x@live.nl": "ada@live.nl", "ada+x@msn.com": "ada@msn.com", "a.+b@msn.com": "a.+b@msn.com",

		"ada@icloud.com": "ada@icloud.com", "ada@me.com": "ada@icloud.com", "ada@mac.com": "ada@icloud.com", "a.da+x@me.com": "a.da@icloud.com",

		"ada@yahoo.com": "ada@yahoo.com", "ada-shop@yahoo.com": "ada@yahoo.com", "ada-shop-2@yahoo.co.uk": "ada@yahoo.co.uk", "a.d_a@ymail.com": "a.d_a@ymail.com",
		"ada+x@yahoo.com": "ada+x@yahoo.com", "ada-x@rocketmail.com": "ada@rocketmail.com", "-@yahoo.com": "-@yahoo.com",

		"ada.l@proton.me": "adal@proton.me", "a-d_a+x@protonmail.com": "ada@protonmail.com", "ada@pm.me": "ada@pm.me", "_-_@pm.me": "_-_@pm.me",

		"ada@yandex.ru": "ada@yandex.ru", "ada+x@ya.ru": "ada@yandex.ru", "ada@yandex.com": "ada@yandex.ru", "a.da@yandex.kz": "a.da@yandex.ru",

		"ada+x@fastmail.com": "ada@fastmail.com", "ada@fastmail.fm": "ada@fastmail.fm", "shop@ada.fastmail.com": "ada@fastmail.com",
		"shop+x@ada.fastmail.fm": "ada@fastmail.fm", "shop@www.ada.fastmail.com": "shop@www.ada.fastmail.com", "shop@xn--ad-xka.fastmail.com": "shop@xn--ad-xka.fastmail.com",

		"ada+x@posteo.de": "ada@posteo.de", "ada+x@mailbox.org": "ada@mailbox.org", "ada+x@runbox.com": "ada@runbox.com", "ada+x@zoho.com": "ada@zoho.com",

		// No rules are known for these.
		"a.da+shop@example.org": "a.da+shop@example.org", "ada-shop@example.org": "ada-shop@example.org", "ada+x@gmx.de": "ada+x@gmx.de",
	} {
		if got := Of(in).Canonical; got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestProvidersAreFreeDisposableOrCorporate(t *testing.T) {
	const free, disposable, corporate = "free", "disposable", "corporate"
	for domain, want := range map[string]string{
		"gmail.com": free, "googlemail.com": free, "outlook.com": free, "outlook.de": free, "hotmail.be": free, "live.com": free, "icloud.com": free,
		"me.com": free, "yahoo.com": free, "yahoo.pl": free, "proton.me": free, "protonmail.com": free, "ya.ru": free, "yandex.ru": free, "zohomail.com": free,
		"gmx.net": free, "web.de": free, "aol.com": free, "mail.ru": free, "qq.com": free, "163.com": free, "naver.com": free, "seznam.cz": free,
		"tutanota.com": free, "tuta.com": free, "mail.com": free, "laposte.net": free, "wp.pl": free, "rediffmail.com": free,

		"mailinator.com": disposable, "guerrillamail.com": disposable, "10minutemail.com": disposable, "yopmail.com": disposable, "trashmail.de": disposable,
		"inbox.mailinator.com": disposable, "a.b.yopmail.com": disposable,

		"example.org": corporate, "example.com": corporate, "mit.edu": corporate, "fastmail.com": corporate, "fastmail.fm": corporate, "ada.fastmail.com": corporate,
		"posteo.de": corporate, "mailinator.example.org": corporate, "ourmailinator.example": corporate, "mail.gmx.net": corporate, "mailinator.org.example": corporate,
		"com": corporate, "co.uk": corporate, "mailinator": corporate, "#.com": corporate,
	} {
		c := Of("ada@" + domain)
		var got []string
		for name, is := range map[string]bool{free: c.Free, disposable: c.Disposable, corporate: c.Corporate} {
			if is {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %v, want %s", domain, got, want)
		}
	}
	for _, in := range []string{"", "@", "ada", "ada@", "@gmail.com"} {
		if c := Of(in); c != (Class{}) {
			t.Errorf("%q: %+v", in, c)
		}
	}
}

// lines returns the domains of a list.
func lines(t *testing.T, list string) (domains []string) {
	t.Helper()
	all := strings.Split(strings.TrimSuffix(list, "\n"), "\n")
	if !slices.IsSorted(all) {
		t.Error("a list is not sorted")
	}
	for _, line := range all {
		if strings.HasPrefix(line, "#") {
			if Of("a@"+line).Disposable || Of("a@"+line).Free {
				t.Errorf("the line %q is taken for a domain", line)
			}
			continue
		}
		if !strings.Contains(line, ".") {
			line += ".com"
		}
		if address, err := canon.Email("a@" + line); err != nil || address != "a@"+line {
			t.Errorf("%q is not a domain in the form of the engine", line)
		}
		domains = append(domains, line)
	}
	return domains
}

func TestEveryDomainOfTheListsIsFound(t *testing.T) {
	throwaway, given := lines(t, disposable), lines(t, free)
	if len(throwaway) < 8_000 || len(given) < 2_000 || len(disposable)+len(free) > 150_000 {
		t.Errorf("%d and %d domains in %d bytes", len(throwaway), len(given), len(disposable)+len(free))
	}
	for _, d := range throwaway {
		if c := Of("a@" + d); !c.Disposable || !Of("a@below."+d).Disposable || c.Free || byDomain[d] != nil {
			t.Errorf("%s: %+v", d, c)
		}
	}
	for _, d := range given {
		if c := Of("a@" + d); !c.Free || c.Disposable || c.Corporate {
			t.Errorf("%s: %+v", d, c)
		}
	}
	seen := make(map[string]bool)
	for _, f := range families {
		for _, d := range f.domains {
			if address, err := canon.Email("a@" + d); seen[d] || err != nil || address != "a@"+d {
				t.Errorf("%q is there twice or no domain", d)
			}
			seen[d] = true
		}
		if f.to != "" && !slices.Contains(f.domains, f.to) || f.tag == "" {
			t.Errorf("the canonical domain %q is not of its provider, or there is no tag", f.to)
		}
	}
}

func TestAnAddressWithoutAliasCostsNoMemory(t *testing.T) {
	for _, in := range []string{"ada@gmail.com", "ada@example.org", "ada@mail.inbox.mailinator.com", "ada@" + strings.Repeat("a.", 100) + "org"} {
		if n := testing.AllocsPerRun(100, func() { Of(in) }); n != 0 {
			t.Errorf("%s: %v allocations", in, n)
		}
	}
}

func FuzzOf(f *testing.F) {
	for _, s := range []string{"ada@gmail.com", "a.+@pm.me", "+@me.com", "x@y.fastmail.com", "a@#.com", "@@", "a-b@yahoo.com", "a\xff.b@gmail.com", "a@.com", "a@\n.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		c := Of(in)
		again := Of(c.Canonical)
		if again.Canonical != c.Canonical {
			t.Errorf("%q: %q, and then %q", in, c.Canonical, again.Canonical)
		}
		address, err := canon.Email(in)
		if err != nil {
			return
		}
		c = Of(address)
		if canonical, err := canon.Email(c.Canonical); err != nil || canonical != c.Canonical {
			t.Errorf("%q: %q is no address", address, c.Canonical)
		}
		if again = Of(c.Canonical); again.Free != c.Free || again.Disposable != c.Disposable || again.Corporate != c.Corporate {
			t.Errorf("%q: %+v, but its canonical form %+v", address, c, again)
		}
		if n := map[bool]int{true: 1}; n[c.Free]+n[c.Disposable]+n[c.Corporate] != 1 {
			t.Errorf("%q: %+v", address, c)
		}
	})
}
