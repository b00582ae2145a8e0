package main

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/notify/sms"
	"example.com/latchkey/oauth"
	"example.com/latchkey/web"
)

// config holds the settings from the environment.
type config struct {
	addr      string // ADDR, 127.0.0.1:PORT
	publicURL string // PUBLIC_URL
	store     place  // STORE

	projectID, projectName string // PROJECT_ID, PROJECT_NAME
	apiKey                 string // API_KEY
	key                    latchkey.Key
	policy                 latchkey.Policy

	allowedHosts []string // ALLOWED_HOSTS
	rateLimits   bool     // RATE_LIMITS
	// proxies are TRUSTED_PROXIES (10.0.0.0/8,2001:db8::1,...): the last address of X-Forwarded-For that is not
	// one of these is the client's. With TRUST_FORWARDED_FOR and without any, it is the first.
	proxies             *web.Proxies
	debugRoles          bool                       // DEBUG_ROLES
	clockFile           string                     // CLOCK_OFFSET_FILE
	smtpAddr            string                     // SMTP_ADDR
	smsWebhook          string                     // SMS_WEBHOOK
	smsSecret           string                     // SMS_WEBHOOK_SECRET, signs the calls of the webhook; a new one if unset
	providers           []oauth.Provider           // see reader.providers
	mockNumbers         map[string]latchkey.Secret // MOCK_NUMBERS, +15555550100=123456,...
	membershipsHide     []string                   // MEMBERSHIPS_HIDE
	disabledMethodNames []string                   // AUTH_DISABLED
	refusedEmails       []string                   // EMAILS_REFUSED
	customFactor        bool                       // CUSTOM_FACTOR: the server reads the codes of the factor custom
}

// place is the place of a store: memory:, bbolt:PATH, sqlite:PATH or postgres://...
// (postgresql:// too), and the PostgreSQL schema that holds its tables.
type place struct{ kind, path, namespace string }

func readConfig(env func(string) string) (c config, err error) {
	r := reader{env: env}
	c = config{
		addr: r.text("ADDR", "127.0.0.1:8080"), projectID: r.text("PROJECT_ID", "default"), apiKey: env("API_KEY"),
		allowedHosts: r.list("ALLOWED_HOSTS"), rateLimits: r.text("RATE_LIMITS", "on") == "on",
		proxies:    r.proxies(),
		debugRoles: r.flag("DEBUG_ROLES", false), clockFile: env("CLOCK_OFFSET_FILE"), smtpAddr: env("SMTP_ADDR"), smsWebhook: env("SMS_WEBHOOK"), smsSecret: r.text("SMS_WEBHOOK_SECRET", sms.NewSecret().Reveal()),
		providers: r.providers(), mockNumbers: make(map[string]latchkey.Secret), membershipsHide: r.list("MEMBERSHIPS_HIDE"), disabledMethodNames: r.list("AUTH_DISABLED"),
		refusedEmails: r.list("EMAILS_REFUSED"), customFactor: r.flag("CUSTOM_FACTOR", false),
	}
	c.projectName, c.publicURL = r.text("PROJECT_NAME", c.projectID), r.text("PUBLIC_URL", "http://"+c.addr)
	c.store.kind, c.store.path, _ = strings.Cut(r.text("STORE", "memory:"), ":")
	if c.store.kind = strings.ToLower(c.store.kind); c.store.kind == "postgresql" {
		c.store.kind = "postgres"
	}
	c.store.namespace = env("STORE_NAMESPACE") // the store's own default, latchkey, if unset
	c.policy = latchkey.Policy{
		UserLimit: r.number("USERS_LIMIT"), DiscloseAccounts: true, RequireVerifiedEmail: r.flag("REQUIRE_VERIFIED_EMAIL", false),
		Password: latchkey.PasswordPolicy{
			History: r.number("PASSWORD_HISTORY"), Dictionary: r.flag("PASSWORD_DICTIONARY", false), PersonalData: r.flag("PERSONAL_DATA", false),
		},
		Sessions: latchkey.SessionPolicy{
			Limit: r.number("SESSION_LIMIT"), Length: time.Duration(r.number("SESSION_DURATION")) * time.Second,
			KeepOnPasswordChange: !r.flag("INVALIDATE_SESSIONS", true), Alerts: r.flag("SESSION_ALERTS", false),
		},
		Factors: latchkey.FactorPolicy{KeepSecretOnChallenge: true, EnrolWithoutStepUp: true}, TrustProviderMFA: true, KeepProviderTokens: true,
	}
	switch v := r.text("SIGN_UP", "open"); v {
	case "open":
	case "closed":
		c.policy.SignUp = latchkey.SignUpClosed
	default:
		r.fail("SIGN_UP", v)
	}
	if v := r.text("RATE_LIMITS", "on"); v != "on" && v != "off" {
		r.fail("RATE_LIMITS", v)
	}
	if strings.Trim(c.projectID, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" { // the id is part of the name of a cookie
		r.fail("PROJECT_ID", c.projectID)
	}
	if known := []string{"memory", "bbolt", "sqlite", "postgres"}; !slices.Contains(known, c.store.kind) || c.store.kind != "memory" && c.store.path == "" {
		r.errs = append(r.errs, errors.New("STORE is memory:, bbolt:FILE, sqlite:FILE or postgres://USER@HOST/DATABASE")) // it may hold a password
	}
	for _, item := range r.list("MOCK_NUMBERS") {
		number, code, _ := strings.Cut(item, "=")
		c.mockNumbers[number] = hidden.New(code)
	}
	for _, name := range c.disabledMethodNames {
		switch name {
		case "email-password":
			c.policy.Disabled |= latchkey.MethodEmailPassword
		case "anonymous":
			c.policy.Disabled |= latchkey.MethodAnonymousSession
		case "magic-url":
			c.policy.Disabled |= latchkey.MethodMagicURL
		case "email-otp":
			c.policy.Disabled |= latchkey.MethodEmailOTP
		case "phone":
			c.policy.Disabled |= latchkey.MethodPhone
		case "jwt":
			c.policy.Disabled |= latchkey.MethodJWT
		case "invites":
			c.policy.Disabled |= latchkey.MethodInvitation
		default:
			r.fail("AUTH_DISABLED", name)
		}
	}
	hide, refuse := &c.policy.Members, &c.policy.Addresses
	r.flags("MEMBERSHIPS_HIDE", c.membershipsHide, map[string]*bool{
		"userName": &hide.HideName, "userEmail": &hide.HideEmail, "userPhone": &hide.HidePhone, "mfa": &hide.HideMFA,
	})
	r.flags("EMAILS_REFUSED", c.refusedEmails, map[string]*bool{
		"disposable": &refuse.RefuseDisposable, "aliased": &refuse.RefuseAliased, "free": &refuse.RefuseFree, "not-corporate": &refuse.RefuseNotCorporate,
	})
	if c.key, err = readKey(env("SECRET"), c.store); err != nil {
		r.errs = append(r.errs, err)
	}
	return c, errors.Join(r.errs...)
}

// redirectHosts returns the allowed targets of links: the configured hosts, this
// machine, and the schemes of apps.
func (c config) redirectHosts() []string {
	hosts := append([]string{"localhost", "exp:"}, c.allowedHosts...)
	if u, err := url.Parse(c.publicURL); err == nil && u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" {
		hosts = append(hosts, u.Hostname())
	}
	if scheme := "appwrite-callback-" + strings.ToLower(c.projectID); !strings.Contains(scheme, "_") {
		hosts = append(hosts, scheme+":")
	}
	return hosts
}

// readKey derives the engine's key from SECRET, which may be any text. Without one it
// makes a new key, if the store is in memory.
func readKey(secret string, where place) (latchkey.Key, error) {
	if secret == "" {
		if where.kind != "memory" {
			return latchkey.Key{}, errors.New("SECRET is required for a store that lasts")
		}
		return latchkey.GenerateKey(), nil
	}
	root, err := hkdf.Key(sha256.New, []byte(secret), nil, "appwrite example", 32)
	if err != nil {
		return latchkey.Key{}, err
	}
	return latchkey.ParseKey("latchkey1-" + hex.EncodeToString(root))
}

// reader reads variables and collects their errors.
type reader struct {
	env  func(string) string
	errs []error
}

func (r *reader) fail(name, value string) {
	r.errs = append(r.errs, fmt.Errorf("%s cannot be %q", name, value))
}

func (r *reader) text(name, standard string) string {
	if v := r.env(name); v != "" {
		return v
	}
	return standard
}

func (r *reader) flag(name string, standard bool) bool {
	v := r.text(name, strconv.FormatBool(standard))
	b, err := strconv.ParseBool(v)
	if err != nil {
		r.fail(name, v)
	}
	return b
}

// flags sets the flags that a variable lists by their names.
func (r *reader) flags(variable string, listed []string, flags map[string]*bool) {
	for _, name := range listed {
		if flag := flags[name]; flag != nil {
			*flag = true
		} else {
			r.fail(variable, name)
		}
	}
}

func (r *reader) number(name string) int {
	v := r.text(name, "0")
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > 1<<31 {
		r.fail(name, v)
	}
	return n
}

// proxies reads the proxies in front of the host.
func (r *reader) proxies() *web.Proxies {
	list := r.list("TRUSTED_PROXIES")
	if first := r.flag("TRUST_FORWARDED_FOR", false); first && len(list) == 0 {
		list = []string{"0.0.0.0/0", "::/0"}
	}
	proxies, err := web.NewProxies("", list...)
	if err != nil {
		r.fail("TRUSTED_PROXIES", err.Error())
	}
	return proxies
}

func (r *reader) list(name string) (items []string) {
	for item := range strings.SplitSeq(r.env(name), ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// clock is the machine's clock plus the seconds in a file.
type clock struct {
	file   string
	offset atomic.Int64
}

// read reads the file again. Without a file, the offset is 0. It is also 0 if the file
// does not hold a whole number of seconds, at most about 272 years.
func (c *clock) read() {
	if c.file == "" {
		return
	}
	text, _ := os.ReadFile(c.file)
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || seconds < -1<<33 || seconds > 1<<33 {
		seconds = 0
	}
	c.offset.Store(seconds)
}

// Now returns the time for the engine.
func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load()) * time.Second) }
