package transfer

import (
	"errors"
	"fmt"
	"strings"

	"example.com/latchkey"
)

// Provider is a provider of identities in the configuration of this host.
type Provider struct {
	Name   string // as in oauth.Info
	Issuer string // as in oauth.Info: identities are found by it
}

// Google and Apple are the same services for all hosts. The systems name them so.
var (
	google = Provider{"google", "https://accounts.google.com"}
	apple  = Provider{"apple", "https://appleid.apple.com"}

	usual = map[string]Provider{"google.com": google, "google-oauth2": google, "google": google, "apple.com": apple, "apple": apple}
)

// addIdentity gives a user an identity at a provider with one of these names in the source. The
// first name that Options.Providers has counts, and then the last one if it is a usual one.
func (o Options) addIdentity(u *latchkey.PortableUser, i latchkey.PortableIdentity, names ...string) error {
	name := names[len(names)-1]
	p, known := usual[name]
	for _, name := range names {
		if set, found := o.Providers[name]; found {
			p, known = set, true
			break
		}
	}
	switch {
	case !known:
		return unknownProvider(name)
	case p == Provider{}:
		return nil
	case i.Subject == "":
		return errors.New("it has an identity without the id at its provider")
	}
	i.Provider, i.Issuer = p.Name, p.Issuer
	u.Identities = append(u.Identities, i)
	return nil
}

// unknownProvider returns the reason for an identity at a provider that is not known. It shows
// the name if that is a short plain word.
func unknownProvider(name string) error {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
	if name == "" || len(name) > 32 || strings.Trim(name, plain) != "" {
		name = "of its identity"
	}
	return fmt.Errorf("the provider %s is not in Options.Providers", name)
}
