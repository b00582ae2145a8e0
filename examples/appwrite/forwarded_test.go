package main

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

func TestForwardedAddressesAreRead(t *testing.T) {
	for entry, want := range map[string]string{
		"203.0.113.1": "203.0.113.1", "203.0.113.1:50001": "203.0.113.1", "203.0.113.1:": "203.0.113.1", " 203.0.113.1 ": "203.0.113.1", "[203.0.113.1]:80": "203.0.113.1",
		"2001:db8::7": "2001:db8::7", "[2001:db8::7]:443": "2001:db8::7", "[2001:db8::7]": "2001:db8::7", `"[2001:db8::8]"`: "2001:db8::8", `"[2001:db8::8]:443"`: "2001:db8::8",
		"2001:db8:85a3:8d3:1319:8a2e:370:9c82": "2001:db8:85a3:8d3:1319:8a2e:370:9c82", "2001:0db8:85a3:0000:0000:8a2e:0370:7336": "2001:db8:85a3::8a2e:370:7336",
		"2001:db8::1:443": "2001:db8::1:443", "::ffff:203.0.113.5": "203.0.113.5", "[::ffff:203.0.113.5]:80": "203.0.113.5", "fe80::1%eth0": "fe80::1", "[fe80::1%eth0]:443": "fe80::1",
		"203.0.113.1:99999": "203.0.113.1", `"203.0.113.1:4711"`: "203.0.113.1",
		"": "", "unknown": "", "_hidden": "", "for=203.0.113.1": "", "203.0.113": "", "localhost": "", "[2001:db8::7": "", "[2001:db8::7]x": "", "203.0.113.1/8": "", "0x7f.1": "", "203.0.113.01": "",
	} {
		ip, found := readForwarded(entry)
		if found != (want != "") || found && ip != netip.MustParseAddr(want) {
			t.Errorf("%q: %v, %v", entry, ip, found)
		}
	}
}

func TestTheClientIsFoundBehindProxies(t *testing.T) {
	prefixes := func(list string) (all []netip.Prefix) {
		r := reader{env: func(string) string { return list }}
		all = r.prefixes("TRUSTED_PROXIES")
		if r.errs != nil {
			t.Fatal(r.errs)
		}
		return all
	}
	for name, c := range map[string]struct {
		first   bool
		proxies string
		peer    string
		headers []string
		want    string
	}{
		"not trusted":                   {false, "", "127.0.0.1", []string{"203.0.113.9"}, "127.0.0.1"},
		"the first":                     {true, "", "127.0.0.1", []string{"203.0.113.9:4711, 10.0.0.1"}, "203.0.113.9"},
		"the first of two lines":        {true, "", "127.0.0.1", []string{"10.0.0.5", "203.0.113.9"}, "10.0.0.5"},
		"the first that is known":       {true, "", "127.0.0.1", []string{"unknown, 203.0.113.9"}, "203.0.113.9"},
		"none":                          {true, "", "127.0.0.1", nil, "127.0.0.1"},
		"none that can be read":         {true, "", "127.0.0.1", []string{"unknown, _x", ""}, "127.0.0.1"},
		"the last that is no proxy":     {false, "127.0.0.0/8,10.0.0.0/8", "127.0.0.1", []string{"1.2.3.4, 203.0.113.9, 10.1.1.1"}, "203.0.113.9"},
		"the same in lines":             {false, "127.0.0.0/8", "127.0.0.1", []string{"10.0.0.5", "203.0.113.9"}, "203.0.113.9"},
		"a peer that is no proxy":       {true, "10.0.0.0/8", "198.51.100.7", []string{"203.0.113.9"}, "198.51.100.7"},
		"behind an unknown hop":         {false, "127.0.0.1", "127.0.0.1", []string{"203.0.113.9, unknown"}, "127.0.0.1"},
		"an unknown hop before":         {false, "127.0.0.1,10.0.0.1", "127.0.0.1", []string{"1.2.3.4, unknown, 10.0.0.1"}, "10.0.0.1"},
		"nothing but proxies":           {false, "127.0.0.1,10.0.0.0/8", "127.0.0.1", []string{"10.0.0.2, 10.0.0.1"}, "10.0.0.2"},
		"a mapped prefix":               {false, "::ffff:10.0.0.0/104", "10.1.2.3", []string{"203.0.113.9"}, "203.0.113.9"},
		"a mapped peer":                 {false, "10.0.0.0/8", "::ffff:10.1.2.3", []string{"203.0.113.9"}, "203.0.113.9"},
		"a mapped hop":                  {false, "127.0.0.1,10.0.0.0/8", "127.0.0.1", []string{"203.0.113.9, ::ffff:10.116.4.32"}, "203.0.113.9"},
		"host bits":                     {false, "10.1.2.3/8", "10.9.9.9", []string{"203.0.113.9"}, "203.0.113.9"},
		"a zone":                        {false, "fe80::/10", "fe80::1%eth0", []string{"203.0.113.9"}, "203.0.113.9"},
		"a proxy that writes its port":  {false, "127.0.0.1,10.0.0.0/8", "127.0.0.1", []string{`"[2001:db8::7]:443", 10.0.0.1:1234`}, "2001:db8::7"},
		"an address that claims others": {false, "127.0.0.1", "127.0.0.1", []string{"10.0.0.1, 1.1.1.1, 203.0.113.9"}, "203.0.113.9"},
	} {
		f := &forwarding{first: c.first, proxies: prefixes(c.proxies)}
		if got := f.client(netip.MustParseAddr(c.peer), c.headers); got != netip.MustParseAddr(c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, list := range []string{"10.0.0.0/33", "proxy.example", "10.0.0.0/8;::1", "::ffff:0.0.0.0/90", "10.0.0.0/", "10.0.0"} {
		r := reader{env: func(string) string { return list }}
		if r.prefixes("TRUSTED_PROXIES"); len(r.errs) == 0 {
			t.Errorf("%s is taken", list)
		}
	}
}

// That the address of a proxy counts for all of its clients is told once.
func TestTheFallbackToAProxyIsToldOnce(t *testing.T) {
	old := slog.Default()
	defer slog.SetDefault(old)
	var log bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	proxy := netip.MustParseAddr("127.0.0.1")
	for _, f := range []*forwarding{{first: true}, {proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}} {
		log.Reset()
		f.client(proxy, []string{"203.0.113.9"})
		if log.Len() != 0 {
			t.Errorf("an address that is there: %s", log.String())
		}
		for range 3 {
			f.client(proxy, []string{"secret words"})
			f.client(proxy, nil)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || strings.Contains(log.String(), "secret") {
			t.Errorf("%d lines: %s", n, log.String())
		}
	}
}

func TestTheHostKnowsTheNamesOfPostgreSQL(t *testing.T) {
	for text, want := range map[string]place{
		"postgresql://u:secret@db/app": {kind: "postgres", path: "//u:secret@db/app"}, "POSTGRESQL://db/app": {kind: "postgres", path: "//db/app"}, "postgres://db/app": {kind: "postgres", path: "//db/app"},
		"memory:": {kind: "memory"}, "sqlite:/data/x.db": {kind: "sqlite", path: "/data/x.db"}, "pg://u:secret@db/app": {}, "mysql://u:secret@db/app": {}, "postgresql:": {}, "x.db": {}, "host=db user=u password=secret": {},
	} {
		c, err := readConfig(func(name string) string { return map[string]string{"STORE": text, "SECRET": "for tests"}[name] })
		if want.kind == "" {
			if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "postgres://") {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err != nil || c.store != want {
			t.Errorf("%s: %+v, %v", text, c.store, err)
		}
	}
}
