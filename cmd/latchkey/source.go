package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"example.com/latchkey/transfer"
)

// source are the flags that tell of an import what its file does not say.
type source struct {
	firebase, auth0Hashes string // files
	options               transfer.Options
}

// flags declares the flags.
func (s *source) flags(fs *flag.FlagSet) {
	fs.StringVar(&s.firebase, "firebase", "", "the JSON `FILE` with the parameters of the hashes of a Firebase project")
	fs.StringVar(&s.auth0Hashes, "auth0-hashes", "", "the `FILE` with the export of password hashes of Auth0")
	fs.BoolVar(&s.options.WithoutPassword, "without-password", false, "take users whose hash is missing or not known, without a password")
	s.options.Providers = make(map[string]transfer.Provider)
	fs.Func("provider", "`SOURCE=NAME,ISSUER` of identities: the provider that the file calls SOURCE. SOURCE= leaves its identities out. The flag may be repeated", s.provider)
}

// provider reads the value of -provider.
func (s *source) provider(text string) error {
	from, to, found := strings.Cut(text, "=")
	name, issuer, both := strings.Cut(to, ",")
	if !found || from == "" || to != "" && (!both || name == "" || issuer == "") {
		return fmt.Errorf("not SOURCE=NAME,ISSUER or SOURCE=")
	}
	s.options.Providers[from] = transfer.Provider{Name: name, Issuer: issuer}
	return nil
}

// options names the flags in the place of the options of package transfer.
var options = strings.NewReplacer(
	"Options.Firebase has no SignerKey", "its key is missing, see -firebase",
	"is not in Options.Providers", "is not named, see -provider",
	"Options.Auth0Hashes does not have it", "the file of -auth0-hashes does not have it",
)

// firebaseKey is the file of -firebase: the members are those that the console of Firebase shows.
type firebaseKey struct {
	SignerKey string `json:"base64_signer_key"`
	Separator string `json:"base64_salt_separator"`
	Rounds    int    `json:"rounds"`
	MemCost   int    `json:"mem_cost"`
}

// open reads the files and returns the options. The caller closes the file of hashes, nil
// without one.
func (s *source) open() (o transfer.Options, hashes *os.File, err error) {
	o = s.options
	if s.firebase != "" {
		text, err := os.ReadFile(s.firebase)
		if err != nil {
			return o, nil, err
		}
		var key firebaseKey
		if json.Unmarshal(text, &key) != nil || key.SignerKey == "" {
			return o, nil, fmt.Errorf("%s is not JSON with base64_signer_key, base64_salt_separator, rounds and mem_cost", s.firebase)
		}
		o.Firebase.SignerKey, o.Firebase.Separator, o.Firebase.Rounds, o.Firebase.MemoryCost = key.SignerKey, key.Separator, key.Rounds, key.MemCost
	}
	if s.auth0Hashes == "" {
		return o, nil, nil
	}
	if hashes, err = os.Open(s.auth0Hashes); err == nil {
		o.Auth0Hashes = hashes
	}
	return o, hashes, err
}
