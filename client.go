package latchkey

import (
	"net/netip"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/ratelimit"
)

// Client is the origin of a call, as the host sees it. Sessions and logs record
// it.
type Client struct {
	// IP is the address of the client, already resolved from trusted proxies.
	// The zero Addr means that it is not known.
	IP netip.Addr `json:"ip"`
	// UserAgent is the client's own description of itself. At most 512 bytes are
	// kept. Control characters are kept as spaces, and bytes that are not UTF-8 as
	// question marks.
	UserAgent string `json:"userAgent"`
	// Locale is the language of messages to the client's user: a BCP 47 tag, or
	// the value of HTTP's Accept-Language. Its first entries are kept, at most 128 bytes of
	// them. Entries that are not printable ASCII are left out, and a first one that is longer
	// is cut.
	Locale string `json:"locale"`
	// SessionLength is how long a session lives that a call for the client makes: a minute to
	// Policy.Sessions.Length, in whole seconds; 0 means that length. It is for a client whose user
	// does not want to stay signed in. [Account.ExtendSession] extends the session by it too. The
	// length of a start of a sign-in by a provider holds for its end, unless the call that ends
	// it has one of its own. Every call of [Guest] and [Users] refuses another length with
	// [ErrArgumentInvalid], except for those that check a session or roles.
	SessionLength time.Duration `json:"-"`
	// OnLimit gets the result of every decision of the limiter about this client's
	// calls, so that the host can report the remaining calls. The rules for messages are
	// left out: messages that others have caused would tell that an address has an
	// account. So are failuresByClient, signInsByClient and changes. It may be
	// nil. It runs on the caller's goroutine.
	OnLimit func(LimitResult) `json:"-"`
}

const maxLocale = 128

// canonical returns the client in the form that the engine keeps.
func (c Client) canonical() Client {
	c.IP, c.UserAgent = c.IP.Unmap().WithZone(""), canon.UserAgent(c.UserAgent)
	c.Locale = canonicalLocale(c.Locale)
	return c
}

// canonicalLocale returns the first entries of a list of languages that can be read and fit.
func canonicalLocale(list string) string {
	list = list[:min(len(list), 16*maxLocale)] // the rest is not even looked at
	kept := ""
	for entry := range strings.SplitSeq(list, ",") {
		if strings.ContainsFunc(entry, func(r rune) bool { return r < ' ' || r > '~' }) {
			continue
		}
		if kept == "" {
			kept = entry[:min(len(entry), maxLocale)]
			continue
		}
		if len(kept)+1+len(entry) > maxLocale {
			break
		}
		kept += "," + entry
	}
	return kept
}

// silent returns the client without its callback, as logs and events hold it.
func (c Client) silent() Client {
	c.OnLimit = nil
	return c
}

// ip returns the address as text, "" for an unknown one.
func (c Client) ip() string {
	if !c.IP.IsValid() {
		return ""
	}
	return c.IP.String()
}

// network returns the part of the address that limits count by: an IPv4 address, the
// one that an IPv6 address holds, or else the /64 of an IPv6 address; "" for an unknown
// address. Logs and sessions have the address as the host gave it.
func (c Client) network() string {
	if !c.IP.IsValid() {
		return ""
	}
	if c.IP.Is4() {
		return c.IP.String()
	}
	if held, found := canon.HeldIPv4(c.IP); found {
		return held.String()
	}
	return netip.PrefixFrom(c.IP, 64).Masked().String()
}

// site returns the /48 of an IPv6 address, of which a single customer may have all; ""
// for other addresses.
func (c Client) site() string {
	if network := c.network(); !strings.Contains(network, ":") {
		return ""
	}
	return netip.PrefixFrom(c.IP, 48).Masked().String()
}

// clientOf returns the client of a log row.
func clientOf(ip, agent string) Client {
	c := Client{UserAgent: agent}
	if addr, err := netip.ParseAddr(ip); err == nil {
		c.IP = addr
	}
	return c
}

// LimitResult is one decision of a limiter.
type LimitResult struct {
	Operation string `json:"operation"` // as in [DefaultLimits]
	ratelimit.Result
}

// mode says in which role an actor acts.
type mode string

const (
	modeUser         mode = "user"
	modeGuest        mode = "guest"
	modeImpersonator mode = "impersonator" // a user who acts for another
	modeServer       mode = "server"       // the host's staff and programs
	modeSystem       mode = "system"       // the engine's own maintenance
)

// actor is the acting party, for logs and events.
type actor struct {
	id   string // of the signed-in user; "" for a guest and the server
	mode mode
}

// become records that a guest has proven to be a user.
func (a *actor) become(user *record.User) {
	if a.mode == modeGuest {
		a.id, a.mode = user.ID, modeUser
	}
}
