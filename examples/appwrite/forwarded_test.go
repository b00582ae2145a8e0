package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestTheClientIsFoundBehindProxies(t *testing.T) {
	for name, c := range map[string]struct{ first, proxies, peer, headers, want string }{
		"not trusted":               {"", "", "127.0.0.1", "203.0.113.9", "127.0.0.1"},
		"the first":                 {"true", "", "127.0.0.1", "203.0.113.9:4711, 10.0.0.1", "203.0.113.9"},
		"the first of two lines":    {"true", "", "127.0.0.1", "10.0.0.5\n203.0.113.9", "10.0.0.5"},
		"the first that is known":   {"true", "", "127.0.0.1", "unknown, 203.0.113.9", "203.0.113.9"},
		"none":                      {"true", "", "127.0.0.1", "", "127.0.0.1"},
		"none that can be read":     {"true", "", "127.0.0.1", "unknown, _x\n", "127.0.0.1"},
		"the last that is no proxy": {"", "127.0.0.0/8,10.0.0.0/8", "127.0.0.1", "1.2.3.4, 203.0.113.9, 10.1.1.1", "203.0.113.9"},
		"a peer that is no proxy":   {"true", "10.0.0.0/8", "198.51.100.7", "203.0.113.9", "198.51.100.7"},
	} {
		config, err := readConfig(func(name string) string {
			return map[string]string{"STORE": "memory:", "TRUST_FORWARDED_FOR": c.first, "TRUSTED_PROXIES": c.proxies}[name]
		})
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{RemoteAddr: c.peer + ":80", Header: http.Header{"X-Forwarded-For": strings.Split(c.headers, "\n")}}
		if got := config.proxies.Address(r); got.String() != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, list := range []string{"10.0.0.0/33", "proxy.example", "10.0.0.0/8;::1", "::ffff:0.0.0.0/90", "10.0.0.0/", "10.0.0"} {
		if _, err := readConfig(func(name string) string { return map[string]string{"STORE": "memory:", "TRUSTED_PROXIES": list}[name] }); err == nil {
			t.Errorf("%s is taken", list)
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
