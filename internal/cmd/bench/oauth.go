package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/rawstore"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oidc"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/sqlite"
)

// people is the number of persons at the issuer. They sign in again and again.
const people = 512

// issuer is an OpenID Connect service in this process, at whose token endpoint the nonce of the
// sign-in is the code.
type issuer struct {
	*httptest.Server
	key    *rsa.PrivateKey
	signer jose.Signer
	next   atomic.Int64
}

func newIssuer() (*issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
	if err != nil {
		return nil, err
	}
	i := &issuer{key: key, signer: signer}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, body any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(body) // a failure fails the case
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		id, err := i.idToken(r.FormValue("code"))
		if err != nil {
			http.Error(w, "", http.StatusInternalServerError)
			return
		}
		answer(w, map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 3600, "id_token": id})
	})
	i.Server = httptest.NewServer(mux)
	return i, nil
}

func (i *issuer) idToken(nonce string) (string, error) {
	n, now := i.next.Add(1)%people, time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"iss": i.URL, "sub": fmt.Sprint(n), "aud": "bench", "exp": now + 3600, "iat": now, "nonce": nonce,
		"email": fmt.Sprintf("p%d@example.org", n), "email_verified": true, "name": "A Person",
	})
	if err != nil {
		return "", err
	}
	signed, err := i.signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// oauthCases compares finishing a sign-in by a provider in this process with the raw exchange and
// one durable write, and begins many sign-ins from few clients.
func oauthCases(dir string) error {
	bolt, err := bbolt.Open(filepath.Join(dir, "oauth.bolt"))
	if err != nil {
		return err
	}
	defer bolt.Close()
	rawBolt, err := rawstore.OpenBolt(filepath.Join(dir, "oauth-raw.bolt"), *rows)
	if err != nil {
		return err
	}
	defer rawBolt.Close()
	lite, err := sqlite.Open(filepath.Join(dir, "oauth.db"))
	if err != nil {
		return err
	}
	defer lite.Close()
	rawLite, err := rawstore.OpenSQLite(filepath.Join(dir, "oauth-raw.db"), *rows)
	if err != nil {
		return err
	}
	defer rawLite.Close()
	at, err := newIssuer()
	if err != nil {
		return err
	}
	defer at.Close()
	for _, c := range []struct {
		name           string
		store          store.Store
		alone, grouped func(int) error
	}{{"bbolt", bolt, rawBolt.Write, rawBolt.GroupWrite}, {"SQLite", lite, rawLite.Write, rawLite.GroupWrite}} {
		for workers, raw := range map[int]func() error{1: numbered(*rows, c.alone), 64: numbered(100*(*rows), c.grouped)} {
			if err := finishes(c.name, c.store, at, workers, raw); err != nil {
				return err
			}
		}
	}
	for _, c := range []struct {
		name  string
		store store.Store
	}{{"memory", memory.Open()}, {"SQLite", lite}} {
		if err := starts(c.name, c.store, at, 10*(*rows)); err != nil {
			return err
		}
	}
	return nil
}

// withIssuer returns an engine with the provider of an issuer.
func withIssuer(s store.Store, at *issuer) (*latchkey.Engine, *oidc.Provider, error) {
	p, err := oidc.New(oidc.Config{Issuer: at.URL, ClientID: "bench", ClientSecret: hidden.New("secret"), TrustEmail: true, Private: true})
	if err != nil {
		return nil, nil, err
	}
	engine, err := latchkey.New(s, latchkey.Config{
		Keys: latchkey.Keys{Active: key}, Providers: []oauth.Provider{p}, Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)), Logger: slog.New(slog.DiscardHandler),
		LimiterPerProcess: true,
	})
	return engine, p, err
}

var asked = latchkey.OAuth2Request{Provider: "oidc", RedirectURL: "https://app.example.org/callback"}

// finishes prints one row. The sign-ins begin between the turns.
func finishes(name string, s store.Store, at *issuer, workers int, raw func() error) error {
	turn := min(256, *rows/16)
	engine, p, err := withIssuer(s, at)
	if err != nil {
		return err
	}
	defer engine.Close()
	defer p.Close()
	ctx := context.Background()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	exchange := func() error {
		body := url.Values{"grant_type": {"authorization_code"}, "code": {"nonce"}, "redirect_uri": {asked.RedirectURL}, "code_verifier": {strings.Repeat("v", 64)}}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, at.URL+"/token", bytes.NewReader([]byte(body.Encode())))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("bench", "secret")
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return err
		}
		return raw()
	}
	var network atomic.Uint32
	var per [2][]float64
	var ratios []float64
	for round := range *rounds + 2 { // the first two sign the persons up
		begun := make(chan latchkey.OAuth2Callback, turn)
		guests := make(chan *latchkey.Guest, turn)
		err := many(64, func() error {
			n := network.Add(1)
			guest := engine.Guest(latchkey.Client{IP: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})})
			start, err := guest.StartOAuth2(ctx, asked)
			if err != nil {
				return err
			}
			to, err := url.Parse(start.URL)
			if err != nil {
				return err
			}
			q := to.Query()
			begun <- latchkey.OAuth2Callback{Provider: "oidc", Parameters: url.Values{"state": q["state"], "code": q["nonce"]}, Binding: start.Binding.Reveal()}
			guests <- guest
			return nil
		})(turn)
		if err != nil {
			return err
		}
		for i, op := range []func() error{func() error {
			guest, cb := <-guests, <-begun
			_, err := guest.FinishOAuth2(ctx, cb)
			return err
		}, exchange} {
			took, err := timed(side{"", many(workers, op)}, turn)
			if err != nil {
				return err
			}
			if round > 1 {
				per[i] = append(per[i], float64(took)/float64(turn))
			}
		}
		if round > 1 {
			ratios = append(ratios, per[0][round-2]/per[1][round-2])
		}
	}
	fmt.Printf("| finish a sign-in by a provider, %d at once, %s; the exchange and one durable write | %v | %v | %.2f | |\n", workers, name,
		time.Duration(median(per[0])).Round(time.Microsecond), time.Duration(median(per[1])).Round(time.Microsecond), median(ratios))
	return nil
}

// starts begins n sign-ins from ten clients and prints what is left of them.
func starts(name string, s store.Store, at *issuer, n int) error {
	engine, p, err := withIssuer(s, at)
	if err != nil {
		return err
	}
	defer engine.Close()
	defer p.Close()
	ctx := context.Background()
	var next atomic.Uint32
	begin := func() error {
		guest := engine.Guest(latchkey.Client{IP: netip.AddrFrom4([4]byte{192, 0, 2, byte(next.Add(1) % 10)})})
		_, err := guest.StartOAuth2(ctx, asked)
		return err
	}
	if err := many(64, begin)(64); err != nil {
		return err
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	took, err := timed(side{"", many(64, begin)}, n)
	if err != nil {
		return err
	}
	after := heap()
	for _, table := range latchkey.Schema().Tables() {
		if table.Name() != "starts" {
			continue
		}
		left, err := s.Count(ctx, store.Query{Index: table.Primary()})
		if err != nil {
			return err
		}
		fmt.Printf("| %d sign-ins by a provider begun from ten clients, %s (once): %d rows are left, the heap grew by %d KB | %v | | | |\n",
			n, name, left, (int64(after)-int64(before))>>10, (took / time.Duration(n)).Round(time.Microsecond))
	}
	return nil
}
