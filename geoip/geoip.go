// Package geoip tells the engine the country of an IP address. The host provides the
// database, in the MaxMind DB format: GeoLite2 Country and City, DB-IP, IPinfo and
// others.
//
//	db, err := geoip.Open("country.mmdb")
//	engine, err := latchkey.New(store, latchkey.Config{Keys: keys, Locator: db})
package geoip

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// DB is an open database. It is safe for concurrent use.
type DB struct{ reader *maxminddb.Reader }

// Open opens the database in a file. The file must not be changed in place while the
// database is open.
func Open(file string) (*DB, error) {
	reader, err := maxminddb.Open(file)
	if err != nil {
		return nil, fmt.Errorf("geoip: %w", err)
	}
	return &DB{reader}, nil
}

// FromBytes opens a database in memory. The caller must not change it.
func FromBytes(b []byte) (*DB, error) {
	reader, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("geoip: %w", err)
	}
	return &DB{reader}, nil
}

// Close closes the database. Close the engine that uses it first.
func (db *DB) Close() error { return db.reader.Close() }

// Country returns the ISO 3166-1 alpha-2 code of the country in which an address is
// used. If that is not known, it returns the country in which the address is
// registered, or "". An unreadable record counts as unknown.
func (db *DB) Country(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	result := db.reader.Lookup(ip.Unmap())
	for _, path := range [][]any{
		{"country", "iso_code"}, {"registered_country", "iso_code"},
		{"country_code"}, {"country"}, // flat databases
	} {
		var code string
		if err := result.DecodePath(&code, path...); err == nil && len(code) == 2 {
			return strings.ToUpper(code)
		}
	}
	return ""
}

// Name returns the name of a country. code is its ISO 3166-1 alpha-2 code, in upper or
// lower case. tag is the BCP 47 tag of the language of the name. If the language is
// not known, the name is in English. Name returns "" if code is not the code of a
// country.
func Name(code, tag string) string {
	code = strings.ToUpper(code)
	region, err := language.ParseRegion(code)
	if err != nil || !region.IsCountry() || region.Canonicalize() != region || len(code) != 2 || code[0] < 'A' {
		return ""
	}
	in, err := language.Parse(tag)
	if err != nil {
		in = language.English
	}
	namer := display.Regions(in)
	if namer == nil {
		namer = display.Regions(language.English)
	}
	return namer.Name(region)
}
