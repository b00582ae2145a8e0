package mailclass

import "strings"

// family is a provider at which several addresses are one mailbox. Only forms that the
// provider describes are in it, and only those that its users cannot switch off.
type family struct {
	domains []string
	to      string // the domain of the canonical form; "" keeps the domain
	tag     string // begins the part that names no mailbox
	ignored string // characters that make no difference
	below   bool   // anything@name.domain is name@domain
	free    bool
}

// families has one entry for each provider, with the source of what it says.
var families = []family{
	// Google ignores dots and what follows a plus (support.google.com/mail/answer/7436150
	// and /22370). googlemail.com is another name of gmail.com. A domain of a Workspace
	// customer does not show that it is one, and there dots matter.
	{domains: []string{"gmail.com", "googlemail.com"}, to: "gmail.com", tag: "+", ignored: ".", free: true},

	// Outlook.com and Hotmail have had sub-addresses by plus since 2013. Dots matter, and
	// a name at one domain may belong to another person than the same name at the next.
	{domains: []string{
		"hotmail.be", "hotmail.ca", "hotmail.ch", "hotmail.co.il", "hotmail.co.jp", "hotmail.co.nz", "hotmail.co.th", "hotmail.co.uk", "hotmail.co.za",
		"hotmail.com", "hotmail.com.ar", "hotmail.com.au", "hotmail.com.br", "hotmail.com.tr", "hotmail.de", "hotmail.dk", "hotmail.es", "hotmail.fi",
		"hotmail.fr", "hotmail.gr", "hotmail.it", "hotmail.kz", "hotmail.nl", "hotmail.no", "hotmail.ro", "hotmail.ru", "hotmail.se",
		"live.at", "live.be", "live.ca", "live.ch", "live.cl", "live.cn", "live.co.uk", "live.co.za", "live.com", "live.com.ar", "live.com.au", "live.com.mx", "live.com.pt",
		"live.de", "live.dk", "live.fr", "live.ie", "live.in", "live.it", "live.jp", "live.nl", "live.no", "live.ru", "live.se", "msn.com",
		"outlook.at", "outlook.be", "outlook.cl", "outlook.co.id", "outlook.co.il", "outlook.co.nz", "outlook.co.th", "outlook.com", "outlook.com.ar",
		"outlook.com.au", "outlook.com.br", "outlook.com.gr", "outlook.com.pe", "outlook.com.tr", "outlook.com.vn", "outlook.cz", "outlook.de", "outlook.dk",
		"outlook.es", "outlook.fr", "outlook.hu", "outlook.ie", "outlook.in", "outlook.it", "outlook.jp", "outlook.kr", "outlook.lv", "outlook.my", "outlook.ph",
		"outlook.pt", "outlook.sa", "outlook.sg", "outlook.sk", "passport.com", "windowslive.com",
	}, tag: "+", free: true},

	// An address at me.com or mac.com is also one at icloud.com (support.apple.com/118230).
	// Mail to name+tag reaches name.
	{domains: []string{"icloud.com", "mac.com", "me.com"}, to: "icloud.com", tag: "+", free: true},

	// Yahoo's further addresses are basename-keyword, which is why a name has no hyphen
	// (help.yahoo.com, AddressGuard). All of one user's have the same base name, which is
	// not always the name of the mailbox.
	{domains: []string{
		"myyahoo.com", "rocketmail.com", "yahoo.at", "yahoo.be", "yahoo.ca", "yahoo.ch", "yahoo.co.id", "yahoo.co.il", "yahoo.co.in", "yahoo.co.kr",
		"yahoo.co.nz", "yahoo.co.th", "yahoo.co.uk", "yahoo.co.za", "yahoo.com", "yahoo.com.ar", "yahoo.com.au", "yahoo.com.br", "yahoo.com.co", "yahoo.com.hk",
		"yahoo.com.mx", "yahoo.com.my", "yahoo.com.pe", "yahoo.com.ph", "yahoo.com.sg", "yahoo.com.tr", "yahoo.com.tw", "yahoo.com.vn", "yahoo.cz", "yahoo.de",
		"yahoo.dk", "yahoo.es", "yahoo.fi", "yahoo.fr", "yahoo.gr", "yahoo.hu", "yahoo.ie", "yahoo.in", "yahoo.it", "yahoo.nl", "yahoo.no", "yahoo.pl",
		"yahoo.pt", "yahoo.ro", "yahoo.se", "ymail.com",
	}, tag: "-", free: true},

	// Proton ignores dots, hyphens and underscores (proton.me/support/change-username) and
	// what follows a plus (proton.me/support/addresses-and-aliases). A name belongs to one
	// account, but that account does not have it at every one of the domains.
	{domains: []string{"pm.me", "proton.me", "protonmail.ch", "protonmail.com"}, tag: "+", ignored: ".-_", free: true},

	// Yandex gives every user their name at all of its domains
	// (yandex.com/support/id/authorization/email.html), and takes sub-addresses by plus.
	{domains: []string{"ya.ru", "yandex.by", "yandex.com", "yandex.kz", "yandex.ru", "yandex.ua"}, to: "yandex.ru", tag: "+", free: true},

	// Fastmail takes name+tag@domain and tag@name.domain
	// (fastmail.help/hc/en-us/articles/360060591053). It has no free addresses.
	{domains: []string{
		"fastmail.cn", "fastmail.co.uk", "fastmail.com", "fastmail.com.au", "fastmail.de", "fastmail.es", "fastmail.fm", "fastmail.in", "fastmail.is",
		"fastmail.jp", "fastmail.mx", "fastmail.net", "fastmail.nl", "fastmail.org", "fastmail.se", "fastmail.to", "fastmail.tw", "fastmail.uk", "fastmail.us",
	}, tag: "+", below: true},

	// These document sub-addresses by plus, and nothing else that makes two addresses one.
	{domains: []string{"mailbox.org", "posteo.de", "posteo.net", "runbox.com"}, tag: "+"},
	{domains: []string{"zoho.com", "zohomail.com"}, tag: "+", free: true},
}

// byDomain has the provider of each domain.
var byDomain = func() map[string]*family {
	m := make(map[string]*family)
	for i := range families {
		for _, domain := range families[i].domains {
			m[domain] = &families[i]
		}
	}
	return m
}()

// canonical returns the canonical form of a name at a domain, and the provider, nil if it is
// not known.
func canonical(local, domain string) (string, string, *family) {
	f, name, at := byDomain[domain], local, domain
	if f == nil {
		label, parent, _ := strings.Cut(domain, ".")
		f = byDomain[parent]
		if f == nil || !f.below || strings.HasPrefix(label, "xn--") {
			return local, domain, nil
		}
		name, at = label, parent
	}
	name, _, _ = strings.Cut(name, f.tag)
	for _, r := range f.ignored {
		name = strings.ReplaceAll(name, string(r), "")
	}
	if f.to != "" {
		at = f.to
	}
	if name == "" || name[0] == '.' || name[len(name)-1] == '.' {
		return local, domain, f // the rest is no address
	}
	return name, at, f
}
