package attack_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"log"
	"log/slog"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/jws"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/sms"
	"example.com/latchkey/notify/smtp"
	"example.com/latchkey/notify/templates"
	"example.com/latchkey/notify/webhook"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store/memory"
)

// verbs are the verbs of fmt, with flags, and one that does not exist.
var verbs = []string{
	"%v", "%+v", "%#v", "%s", "%+s", "%q", "%#q", "%x", "%X", "%#x", "% x", "%d", "%+d", "%b", "%o", "%O", "%c", "%U", "%t", "%e", "%g", "%p", "%T", "%w", "%z", "%64v", "%.3s", "%-9q", "%!", "%[2]v",
}

// shapes are the forms in which a dump could show a text. A code alone is no word of
// another number.
func shapes(text string) (forms []string) {
	if len(text) > 6 {
		forms = append(forms, text)
	}
	forms = append(forms, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), fmt.Sprintf("% x", text), fmt.Sprintf("% X", text))
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		forms = append(forms, e.EncodeToString([]byte(text)))
	}
	part := []byte(text)[:min(len(text), 12)] // of a list of bytes
	for _, verb := range []string{"%d", "%b", "%o", "%O", "%x", "%X", "%#x", "%c", "%U", "%q"} {
		var each []string
		for _, b := range part {
			each = append(each, fmt.Sprintf(verb, b))
		}
		for _, between := range []string{" ", ", ", ","} {
			forms = append(forms, strings.Join(each, between))
		}
	}
	return forms
}

// The structs of hosts in which a value can lie.
type (
	open[T any]    struct{ Held T }
	closed[T any]  struct{ held T }
	closedP[T any] struct{ held *T }
	failure[T any] struct{ held T }
)

func (failure[T]) Error() string { return "failed" }

// lies are the places in which a value can lie: those in which fmt finds its methods, and
// those in which it may not.
func lies[T any](v T) (found, hard []any) {
	found = []any{
		v, &v, []any{v}, []any{&v}, []T{v}, []*T{&v}, [1]T{v}, map[string]T{"k": v}, map[string]*T{"k": &v}, map[string]any{"k": v}, map[*T]int{&v: 1},
		open[T]{v}, open[*T]{&v}, []open[T]{{v}},
	}
	if key := reflect.ValueOf(&v).Elem(); key.Comparable() && key.Kind() != reflect.Interface {
		m := reflect.MakeMap(reflect.MapOf(key.Type(), reflect.TypeFor[int]()))
		m.SetMapIndex(key, reflect.ValueOf(1))
		found = append(found, m.Interface())
	}
	hard = []any{
		&open[T]{v}, []*open[T]{{v}}, closed[T]{v}, &closed[T]{v}, []closed[T]{{v}}, []*closed[T]{{v}}, closedP[T]{&v}, &closedP[T]{&v}, []any{closedP[T]{&v}},
		map[string]closed[T]{"k": {v}}, open[closed[T]]{closed[T]{v}}, closed[open[*T]]{open[*T]{&v}}, closed[any]{v}, closed[any]{&v}, closed[[]T]{[]T{v}}, closed[[]*T]{[]*T{&v}},
		closed[map[string]T]{map[string]T{"k": v}}, closed[map[*T]T]{map[*T]T{&v: v}}, failure[T]{v}, &failure[T]{v},
		errors.Join(failure[T]{v}), fmt.Errorf("%w", failure[T]{v}),
	}
	return found, hard
}

// dump shows a value in every way that the standard library knows. Without hard it
// leaves out %w and %p, for which fmt calls no method.
func dump(w io.Writer, x any, hard bool) {
	for _, verb := range verbs {
		if verb != "%w" && verb != "%p" || hard {
			fmt.Fprintf(w, verb+"\n", x)
			fmt.Fprintln(w, fmt.Errorf(verb, x))
		}
	}
	fmt.Fprint(w, x)
	fmt.Fprintln(w, x)
	fmt.Fprintln(w, fmt.Errorf("wrapped: %v", x))
	l := log.New(w, "", 0)
	l.Println(x)
	l.Printf("%+v", x)
	for _, h := range []slog.Handler{
		slog.NewTextHandler(w, nil), slog.NewJSONHandler(w, nil),
		slog.NewJSONHandler(w, nil).WithGroup("g").WithAttrs([]slog.Attr{slog.Any("with", x)}),
	} {
		slog.New(h).Info("m", "value", x, slog.Group("group", "value", x))
	}
	for _, encode := range []func(any) ([]byte, error){json.Marshal, xml.Marshal} {
		text, err := encode(x)
		fmt.Fprintf(w, "%s %v\n", text, err)
	}
	fmt.Fprintln(w, gob.NewEncoder(w).Encode(x))
	for _, text := range []string{`{{.}}`, `{{printf "%s %d %#v" . . .}}`, `{{print .}} {{html .}} {{js .}} {{urlquery .}}`, `{{range .}}{{.}}{{end}}`, `{{.Held}}`} {
		fmt.Fprintln(w, template.Must(template.New("t").Parse(text)).Execute(w, x))
	}
	for _, text := range []string{`<p title="{{.}}">{{.}}</p>`, `<script>x = {{.}}</script>`, `<a href="?x={{.}}" onclick="f({{.}})" style="a: {{.}}">`, `{{.Held}}`} {
		fmt.Fprintln(w, htmltemplate.Must(htmltemplate.New("t").Parse(text)).Execute(w, x))
	}
}

// held is a value of an exported type, and what no dump of it may show.
type held struct {
	typ         reflect.Type
	found, hard []any
	secrets     []string
}

// holds returns a value that hides its secrets wherever it lies.
func holds[T any](v T, secrets ...string) held {
	found, hard := lies(v)
	return held{reflect.TypeFor[T](), found, hard, secrets}
}

// holdsPlain returns a value that hides its secrets where its methods can be called.
func holdsPlain[T any](v T, secrets ...string) held {
	h := holds(v, secrets...)
	h.hard = nil
	return h
}

const planted = "hide-Me_0123456789"

// resolved returns what package slog passes to a handler, as a handler that reads structs
// by reflection shows it.
func resolved(x any) string {
	return fmt.Sprintf("%+v", closed[any]{slog.AnyValue(x).Resolve().Any()})
}

// check dumps a value in every place and looks for its secrets.
func (h held) check(t *testing.T) {
	t.Helper()
	var forms []string
	var codes []string
	for _, secret := range h.secrets {
		forms = append(forms, shapes(secret)...)
		if len(secret) <= 6 {
			codes = append(codes, secret)
		}
	}
	if shown := resolved(h.found[0]); slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(shown, form) }) {
		t.Errorf("%v is logged as %q", h.typ, shown)
	}
	code := regexp.MustCompile(`\b(` + strings.Join(append(codes, "no code"), "|") + `)\b`)
	for _, x := range slices.Concat(h.found, h.hard) {
		var out bytes.Buffer
		dump(&out, x, h.hard != nil)
		for _, form := range forms {
			if i := bytes.Index(out.Bytes(), []byte(form)); i >= 0 {
				line := out.Bytes()[max(0, i-200):min(out.Len(), i+200)]
				t.Errorf("%v in a %T shows %q: ...%q...", h.typ, x, form, line)
				break
			}
		}
		if found := code.Find(out.Bytes()); found != nil {
			t.Errorf("%v in a %T shows %q", h.typ, x, found)
		}
	}
}

// rootOf returns the bytes of a key, and of the subkeys that an engine keeps.
func rootOf(t *testing.T, key latchkey.Key) []string {
	t.Helper()
	_, digits, _ := strings.Cut(key.Reveal(), "-")
	root, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{string(root)}
	for _, purpose := range []string{seal.Index, seal.JWT} {
		all = append(all, string(seal.NewRing(root).Seeds(purpose)[0]))
	}
	return all
}

// heldByHosts are values that need no engine.
func heldByHosts(t *testing.T) []held {
	t.Helper()
	secret, key, old := hidden.New(planted), latchkey.GenerateKey(), latchkey.GenerateKey()
	session := latchkey.Session{ID: "s", Secret: secret}
	message := templates.Sample(notify.MagicURL, notify.Email)
	message.Secret, message.Link = secret, hidden.New("https://app.example.org/?secret="+planted)
	words, err := templates.New(templates.Config{App: "Demo"})
	if err != nil {
		t.Fatal(err)
	}
	mail := smtp.Config{Addr: "127.0.0.1:25", Username: "demo", Password: secret, From: "a@example.org", Templates: words}
	mailer, err := smtp.New(mail)
	if err != nil {
		t.Fatal(err)
	}
	signing := sms.NewSecret()
	texting, err := sms.NewWebhook("https://sms.example/"+planted, signing.Reveal(), nil)
	if err != nil {
		t.Fatal(err)
	}
	signs, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signing.Reveal(), "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	posting := webhook.Config{URL: hidden.New("https://a.example.org/" + planted), Secrets: []hidden.Text{signing}}
	endpoint, err := webhook.New(posting)
	if err != nil {
		t.Fatal(err)
	}
	outbox := new(notify.Mailbox)
	if err := outbox.Notify(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	content, err := words.Render(message)
	if err != nil {
		t.Fatal(err)
	}
	uri := "otpauth://totp/Bread:ada?algorithm=SHA1&digits=6&issuer=Bread&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	app, err := authtest.NewAuthenticator(authtest.NewClock(), uri)
	if err != nil {
		t.Fatal(err)
	}
	roots := append(rootOf(t, key), rootOf(t, old)...)
	seed := rootOf(t, key)[2]
	signer := jws.NewKey([]byte(seed))
	config := latchkey.Config{
		Keys: latchkey.Keys{Active: key, Old: []latchkey.Key{old}}, Notifier: mailer, SMS: sms.Notifier(texting, words),
		MockNumbers: map[string]latchkey.Secret{kit.Phone: hidden.New("483920")},
	}
	return []held{
		holds(secret, planted), holds(key, roots[0]), holds(latchkey.Keys{Active: key, Old: []latchkey.Key{old}}, roots...),
		holds(config, append(roots, planted, "483920")...), holds(mail, planted), holds(mailer, planted), holds(texting, planted, string(signs)), holds(posting, planted, signing.Reveal(), string(signs)), holds(endpoint, planted, signing.Reveal(), string(signs)), holds(signing, signing.Reveal(), string(signs)),
		holds(session, planted), holds(latchkey.SessionList{Total: 1, Sessions: []*latchkey.Session{&session}}, planted), holds(latchkey.Token{ID: "t", Secret: secret}, planted),
		holds(oauth.Flow{State: secret, Nonce: secret, Verifier: secret, Callback: oauth.Callback{Code: secret}}, planted), holds(oauth.Callback{Code: secret}, planted), holds(oauth.Tokens{Access: secret, Refresh: secret, ID: secret, Answer: secret}, planted),
		holds(oauth.Grant{Access: secret, Refresh: secret}, planted), holds(oauth.IDToken{Token: secret, Nonce: secret}, planted), holds(oauth.Verified{Claims: secret}, planted),
		holds(latchkey.IDTokenSignIn{Token: secret, Nonce: secret}, planted),
		holds(latchkey.OAuth2Start{Binding: secret}, planted), holds(latchkey.ProviderTokens{Access: secret, Refresh: secret}, planted), holds(latchkey.OAuth2Result{Session: &session, Token: &latchkey.Token{Secret: secret}}, planted),
		holdsPlain(latchkey.OAuth2Callback{Parameters: url.Values{"code": {planted}}, Binding: planted, Session: planted}, planted),
		holds(latchkey.InvitationLink{TeamID: "t", Secret: secret}, planted), holds(latchkey.Accepted{Membership: &latchkey.Membership{ID: "m"}, Session: &session}, planted),
		holds(latchkey.HashedUser{Email: kit.Ada, Hash: secret}, planted), holds(latchkey.PortableAuthenticator{Seed: secret}, planted), holds(latchkey.PortableRecoveryCode{Code: secret}, planted),
		holds(latchkey.PortableIdentity{Provider: "acme", Access: secret, Refresh: secret}, planted), holds(latchkey.PortableUser{ID: "ada", Password: secret, PasswordHistory: []latchkey.Secret{secret}}, planted),
		holds(latchkey.Portable{User: &latchkey.PortableUser{Password: secret, Authenticator: &latchkey.PortableAuthenticator{Seed: secret}}}, planted),
		holds(latchkey.MFAChallenge{ID: "c", Code: secret}, planted), holds(latchkey.MFAAuthenticator{Secret: secret, URI: secret}, planted), holds(latchkey.MFARecoveryCodes{Codes: []latchkey.Secret{secret}, Left: 1}, planted),
		holds(latchkey.Event{Name: "e", Payload: &session}, planted), holds(message, planted), holds(outbox, planted), holds(app, uri, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
		holds(seal.NewRing([]byte(roots[0]), []byte(rootOf(t, old)[0])), roots...), holds(*seal.NewRing([]byte(roots[0])), roots...),
		holds(signer, seed, string(ed25519.NewKeyFromSeed([]byte(seed)))), holds(*signer, seed, string(ed25519.NewKeyFromSeed([]byte(seed)))),
		holdsPlain(latchkey.NewAccount{Password: planted}, planted), holdsPlain(latchkey.NewUser{Password: planted}, planted), holdsPlain(latchkey.PasswordUpdate{New: planted, Old: planted}, planted),
		holdsPlain(sms.Text{ID: "i", Body: planted}, planted), holdsPlain(content, planted),
	}
}

// sessionDigest is the stored form of a session's secret.
func sessionDigest(s *latchkey.Session) string {
	sum := sha256.Sum256([]byte("sess/v1\x00" + s.Secret.Reveal()))
	return string(sum[:])
}

// heldByEngine are the handles of an engine, and what its answers hold.
func heldByEngine(k *kit.Kit) []held {
	k.Helper()
	k.Keys = latchkey.Keys{Active: k.Keys.Active, Old: []latchkey.Key{latchkey.GenerateKey()}}
	account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
	engine := k.Configured(func(c *latchkey.Config) {
		c.MockNumbers = map[string]latchkey.Secret{kit.OwnPhone: hidden.New("483920")}
	})
	roots := append(rootOf(k.T, k.Keys.Active), rootOf(k.T, k.Keys.Old[0])...)
	roots = append(roots, "483920")
	guest := engine.Guest(kit.Client)
	session, pending := k.Owing(guest)
	proof := append(slices.Clone(roots), session.Secret.Reveal(), sessionDigest(session))
	k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, account.UserID(), false)))
	full, err := guest.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
	k.Must(err)
	signedIn, err := guest.Authenticate(k.Ctx, full.Secret.Reveal())
	k.Must(err)
	jwt, err := k.Users().CreateJWT(k.Ctx, account.UserID(), full.ID, 0)
	k.Must(err)
	bearer, err := guest.AuthenticateJWT(k.Ctx, jwt.Reveal())
	k.Must(err)
	mine := append(slices.Clone(roots), full.Secret.Reveal(), sessionDigest(full))
	theirs := append(slices.Clone(mine), jwt.Reveal())
	return []held{
		holds(engine, roots...), holds(*guest, roots...), holds(*engine.Users(), roots...), holds(*engine.Teams(), roots...), holds(*signedIn.Teams(), mine...), holds(*pending, proof...), holds(latchkey.MoreFactorsError{Pending: pending}, proof...),
		holds(*signedIn, mine...), holds(*bearer, theirs...),
		holds(session, session.Secret.Reveal()), holds(authtest.New(k.T, latchkey.Config{Keys: k.Keys}), roots...),
	}
}

// F-5: no way to print, log or encode a value shows a secret, a key or a part of it, in
// whatever it lies.
func TestF5NoDumpShowsASecret(t *testing.T) {
	for _, h := range heldByHosts(t) {
		t.Run(h.typ.String(), h.check)
	}
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for _, h := range heldByEngine(k) {
			k.Run(h.typ.String(), h.check)
		}
	})
}

// F-5: a Secret and a Key are neither operands of == nor keys of a map, so that neither
// is compared by its address, nor encoded as a key.
func TestF5SecretsAndKeysAreNotComparable(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[latchkey.Secret](), reflect.TypeFor[latchkey.Key](), reflect.TypeFor[latchkey.Session](), reflect.TypeFor[latchkey.Token]()} {
		if typ.Comparable() {
			t.Errorf("%v is comparable", typ)
		}
	}
	one, same, other := hidden.New(planted), hidden.New(planted), hidden.New(planted+"x")
	if !one.Equal(same) || one.Equal(other) || one.Equal(latchkey.Secret{}) || !hidden.New("").IsZero() || !hidden.New("").Equal(latchkey.Secret{}) {
		t.Error("texts are compared wrongly")
	}
	if (latchkey.Secret{}).Reveal() != "" || one.Reveal() != planted || (latchkey.Key{}).Reveal() != "" || (latchkey.Key{}).ID() != "" || !(latchkey.Key{}).IsZero() {
		t.Error("a text does not come back")
	}
}

// Inputs with a password are objects in JSON, with everything else in clear.
func TestF5InputsAreReadableInJSON(t *testing.T) {
	for _, x := range []any{latchkey.NewAccount{Email: kit.Ada, Password: planted}, latchkey.NewUser{Email: kit.Ada, Password: planted}} {
		text, err := json.Marshal(x)
		var got map[string]string
		if err := errors.Join(err, json.Unmarshal(text, &got)); err != nil || got["Email"] != kit.Ada || got["Password"] != hidden.Mask {
			t.Errorf("%v, %s", err, text)
		}
	}
	if text, err := json.Marshal(latchkey.PasswordUpdate{New: planted}); err != nil || string(text) != `{"New":"[secret]","Old":""}` {
		t.Errorf("%v, %s", err, text)
	}
}

// tree collects the named types of the project that a type leads to, by fields, elements,
// methods, parameters and results.
func tree(typ reflect.Type, seen map[reflect.Type]bool) {
	if seen[typ] {
		return
	}
	seen[typ] = true
	own := strings.HasPrefix(typ.PkgPath(), "example.com/latchkey")
	if typ.PkgPath() != "" && !own {
		return
	}
	if own {
		for _, t := range []reflect.Type{typ, reflect.PointerTo(typ)} {
			for i := range t.NumMethod() {
				tree(t.Method(i).Type, seen)
			}
		}
	}
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			tree(typ.Field(i).Type, seen)
		}
	case reflect.Func:
		for i := range typ.NumIn() {
			tree(typ.In(i), seen)
		}
		for i := range typ.NumOut() {
			tree(typ.Out(i), seen)
		}
	case reflect.Map:
		tree(typ.Key(), seen)
		tree(typ.Elem(), seen)
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Chan:
		tree(typ.Elem(), seen)
	}
}

// hides reports whether a type leads to a hidden text by its fields and elements, or
// refuses gob itself.
func hides(typ reflect.Type, above ...reflect.Type) bool {
	if slices.Contains(above, typ) {
		return false
	}
	above = append(above, typ)
	if _, refuses := reflect.PointerTo(typ).MethodByName("GobEncode"); refuses && strings.HasPrefix(typ.PkgPath(), "example.com/latchkey") {
		return true
	}
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			if hides(typ.Field(i).Type, above...) {
				return true
			}
		}
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return hides(typ.Elem(), above...)
	}
	return false
}

// F-5: every exported type that leads to a secret is among those whose dumps are looked
// at, and no exported type has a password as a plain text without masks.
func TestF5EveryTypeWithASecretIsDumped(t *testing.T) {
	seen := make(map[reflect.Type]bool)
	for _, root := range []any{
		latchkey.New, hidden.New, latchkey.ParseKey, smtp.New, sms.NewWebhook, sms.NewSecret, sms.Notifier, webhook.New, templates.New, authtest.New, authtest.NewAuthenticator, new(notify.Mailbox),
		latchkey.MoreFactorsError{},
	} {
		tree(reflect.TypeOf(root), seen)
	}
	dumped := make(map[reflect.Type]bool)
	for _, h := range heldByHosts(t) {
		dumped[h.typ] = true
	}
	for _, h := range heldByEngine(kit.New(t, memory.Open(), kit.Documented)) {
		dumped[h.typ] = true
	}
	found := 0
	for typ := range seen {
		if typ.Kind() != reflect.Struct || typ.Name() == "" || typ.PkgPath() == "" || strings.Contains(typ.PkgPath(), "/internal/") || !strings.HasPrefix(typ.PkgPath(), "example.com/latchkey") {
			continue
		}
		if strings.ToUpper(typ.Name()[:1]) != typ.Name()[:1] {
			continue
		}
		if f, found := typ.FieldByName("Password"); found && f.Type.Kind() == reflect.String && !hides(typ) {
			t.Errorf("%v has a plain password", typ)
		}
		if hides(typ) {
			found++
			if !dumped[typ] && !dumped[reflect.PointerTo(typ)] {
				t.Errorf("%v leads to a secret, and no test dumps it", typ)
			}
		}
	}
	if found < 20 {
		t.Errorf("%d types were found", found)
	}
}

// A24: gob refuses every value with a secret, and takes values that could have one and
// have none.
func TestA24GobRefusesSecrets(t *testing.T) {
	secret := hidden.New(planted)
	for _, x := range []any{
		secret, latchkey.GenerateKey(), latchkey.Keys{Active: latchkey.GenerateKey()}, latchkey.Session{Secret: secret}, &latchkey.Session{Secret: secret}, latchkey.Token{Secret: secret},
		latchkey.SessionList{Sessions: []*latchkey.Session{{Secret: secret}}}, latchkey.MFAAuthenticator{Secret: secret}, latchkey.MFARecoveryCodes{Codes: []latchkey.Secret{secret}},
		latchkey.NewAccount{Password: planted}, latchkey.NewUser{Password: planted}, latchkey.PasswordUpdate{New: planted}, notify.Message{Secret: secret}, notify.Message{To: planted},
		notify.Message{Link: secret}, sms.Text{Body: planted}, templates.Content{Text: planted}, open[latchkey.NewAccount]{latchkey.NewAccount{Password: planted}},
	} {
		var out bytes.Buffer
		if err := gob.NewEncoder(&out).Encode(x); !errors.Is(err, hidden.ErrNotEncoded) {
			t.Errorf("%T: %v", x, err)
		}
		if strings.Contains(out.String(), planted) {
			t.Errorf("%T is encoded", x)
		}
	}
	for _, x := range []any{latchkey.Session{ID: "s"}, latchkey.Token{ID: "t"}, latchkey.SessionList{Sessions: []*latchkey.Session{{ID: "s"}}}} {
		if err := gob.NewEncoder(new(bytes.Buffer)).Encode(x); err != nil {
			t.Errorf("%T: %v", x, err)
		}
	}
}
