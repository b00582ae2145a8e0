package geoip_test

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go4.org/netipx"

	"example.com/latchkey"
	"example.com/latchkey/geoip"
)

var _ latchkey.Locator = (*geoip.DB)(nil)

// database writes a database with a few networks.
func database(t *testing.T) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-Country", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	country := func(name, code string) mmdbtype.Map {
		return mmdbtype.Map{mmdbtype.String(name): mmdbtype.Map{"iso_code": mmdbtype.String(code)}}
	}
	for network, record := range map[string]mmdbtype.DataType{
		"192.0.2.0/24":     country("country", "DE"),
		"198.51.100.0/24":  country("registered_country", "FR"),
		"203.0.113.0/25":   mmdbtype.Map{"country_code": mmdbtype.String("jp")},
		"203.0.113.128/25": mmdbtype.Map{"country": mmdbtype.String("NO")},
		"2001:db8::/32":    country("country", "SE"),
		"100.64.0.0/10":    country("country", "Sealand"),
	} {
		if err := tree.Insert(netipx.PrefixIPNet(netip.MustParsePrefix(network)), record); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCountryOfAnAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "country.mmdb")
	if err := os.WriteFile(file, database(t), 0o600); err != nil {
		t.Fatal(err)
	}
	fromFile, err := geoip.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer fromFile.Close()
	fromBytes, err := geoip.FromBytes(database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer fromBytes.Close()
	for address, want := range map[string]string{
		"192.0.2.9": "DE", "::ffff:192.0.2.9": "DE", "198.51.100.1": "FR", "203.0.113.5": "JP", "203.0.113.200": "NO",
		"2001:db8::1": "SE", "10.0.0.1": "", "100.64.0.1": "", "::1": "",
	} {
		for name, db := range map[string]*geoip.DB{"file": fromFile, "bytes": fromBytes} {
			if got := db.Country(netip.MustParseAddr(address)); got != want {
				t.Errorf("%s, %s: %q, want %q", name, address, got, want)
			}
		}
	}
	if got := fromFile.Country(netip.Addr{}); got != "" {
		t.Errorf("no address: %q", got)
	}
}

func TestWhatIsNoDatabaseIsRefused(t *testing.T) {
	if _, err := geoip.FromBytes([]byte("not a database")); err == nil {
		t.Error("bytes: opened")
	}
	if _, err := geoip.Open(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("no file: opened")
	}
}

func TestNameOfACountry(t *testing.T) {
	for _, c := range [][3]string{
		{"de", "en", "Germany"}, {"DE", "de", "Deutschland"}, {"fr", "es-MX", "Francia"}, {"se", "", "Sweden"},
		{"se", "tlh", "Sweden"}, {"", "en", ""}, {"--", "en", ""}, {"xx1", "en", ""}, {"419", "en", ""},
		{"276", "en", ""}, {"DEU", "en", ""}, {"uk", "en", ""},
	} {
		if got := geoip.Name(c[0], c[1]); got != c[2] {
			t.Errorf("%q in %q: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
