package latchkey

import (
	"net/netip"
	"strings"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/ratelimit"
)

// Client is where a call comes from, as the host sees it. Sessions and logs
// record it.
type Client struct {
	// IP is the address of the client, already resolved from trusted proxies.
	// The zero Addr means that it is not known.
	IP netip.Addr
	// UserAgent is what the client says of itself. 512 bytes are kept.
	UserAgent string
	// Locale is the language of messages to whoever is at the client: a BCP 47
	// tag, or what Accept-Language of HTTP says. 128 bytes are kept; what has other
	// than printable ASCII in it is not.
	Locale string
	// Server says that the call is the host's own server's, made for a client:
	// calls of it are not counted, and ways in that the policy switches off are
	// open to it. Wrong passwords are counted all the same.
	Server bool
	// OnLimit gets the result of every decision of the limiter about this
	// client's calls, so that the host can report what is left; it may be nil.
	// It runs on the caller's goroutine.
	OnLimit func(LimitResult)
}

const maxLocale = 128

func (c Client) canonical() Client {
	c.IP, c.UserAgent = c.IP.Unmap().WithZone(""), canon.UserAgent(c.UserAgent)
	if c.Locale = c.Locale[:min(len(c.Locale), maxLocale)]; strings.ContainsFunc(c.Locale, func(r rune) bool { return r < ' ' || r > '~' }) {
		c.Locale = ""
	}
	return c
}

// silent returns the client as logs and events know it.
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

// clientOf returns the client that a row speaks of.
func clientOf(ip, agent string) Client {
	c := Client{UserAgent: agent}
	if addr, err := netip.ParseAddr(ip); err == nil {
		c.IP = addr
	}
	return c
}

// actor is who acts, for logs and events.
type actor struct {
	id   string // of the user who is signed in, "" for a guest and the server
	mode string
	Client
}

// LimitResult is one decision of a limiter.
type LimitResult struct {
	Operation string // as in [DefaultLimits]
	ratelimit.Result
}

// network is what a client address is counted by; "" for an unknown one.
func (c Client) network() string {
	switch {
	case !c.IP.IsValid():
		return ""
	case c.IP.Is4():
		return c.IP.String()
	}
	return netip.PrefixFrom(c.IP, 64).Masked().String()
}
