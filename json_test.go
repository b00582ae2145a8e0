package latchkey_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/query"
)

// outputs are the structs that the engine hands out and a handler may encode.
var outputs = []reflect.Type{
	reflect.TypeFor[latchkey.User](), reflect.TypeFor[latchkey.UserList](), reflect.TypeFor[latchkey.Target](), reflect.TypeFor[latchkey.TargetList](),
	reflect.TypeFor[latchkey.Session](), reflect.TypeFor[latchkey.SessionList](), reflect.TypeFor[latchkey.Device](), reflect.TypeFor[latchkey.Token](),
	reflect.TypeFor[latchkey.Log](), reflect.TypeFor[latchkey.LogList](), reflect.TypeFor[latchkey.Identity](), reflect.TypeFor[latchkey.IdentityList](),
	reflect.TypeFor[latchkey.Team](), reflect.TypeFor[latchkey.TeamList](), reflect.TypeFor[latchkey.Membership](), reflect.TypeFor[latchkey.MembershipList](),
	reflect.TypeFor[latchkey.Pages](), reflect.TypeFor[latchkey.Profile](), reflect.TypeFor[latchkey.Accepted](),
	reflect.TypeFor[latchkey.MFAFactors](), reflect.TypeFor[latchkey.FactorSet](), reflect.TypeFor[latchkey.MFAChallenge](),
	reflect.TypeFor[latchkey.MFAAuthenticator](), reflect.TypeFor[latchkey.MFARecoveryCodes](),
	reflect.TypeFor[latchkey.OAuth2Start](), reflect.TypeFor[latchkey.OAuth2Result](), reflect.TypeFor[latchkey.ProviderTokens](),
	reflect.TypeFor[latchkey.Passkey](), reflect.TypeFor[latchkey.PasskeyList](), reflect.TypeFor[latchkey.PasskeyCeremony](), reflect.TypeFor[latchkey.PasskeySignals](),
	reflect.TypeFor[latchkey.Throttled](), reflect.TypeFor[latchkey.Swept](), reflect.TypeFor[latchkey.Resealed](), reflect.TypeFor[latchkey.Deliveries](),
	reflect.TypeFor[latchkey.Imported](), reflect.TypeFor[latchkey.ImportResult](), reflect.TypeFor[latchkey.LimitResult](), reflect.TypeFor[latchkey.Event](),
	reflect.TypeFor[latchkey.Undelivered](), reflect.TypeFor[latchkey.UndeliveredList](),
}

// The reasons for which an exported struct is no output.
const (
	isHandle  = "a handle: it has power, and no exported fields"
	isInput   = "an input: the host makes it, and a password in it has a mask"
	isConfig  = "configuration: it stays in the program"
	isFailure = "an error: a handler encodes the *Error in it"
	isTold    = "what an observer gets: it makes a number of it"
	isRecord  = "a record of Import and Export: package transfer writes it, with its secrets"
)

// notOutputs are all other exported structs.
var notOutputs = map[string]string{
	"Engine": isHandle, "Guest": isHandle, "Account": isHandle, "Pending": isHandle, "Unverified": isHandle, "Users": isHandle, "Teams": isHandle,

	"NewAccount": isInput, "NewUser": isInput, "HashedUser": isInput, "PasswordUpdate": isInput, "NewEmailChange": isInput, "NewRecovery": isInput,
	"NewMagicURLToken": isInput, "NewEmailToken": isInput, "NewMFAAuthenticator": isInput, "NewPushTarget": isInput, "NewTarget": isInput,
	"TargetUpdate": isInput, "NewTeam": isInput, "NewMembership": isInput, "InvitationLink": isInput, "ImpersonatedUser": isInput,
	"OAuth2Request": isInput, "OAuth2Callback": isInput, "IDTokenSignIn": isInput, "PasskeyEnrolment": isInput, "PasskeyOffer": isInput, "ImportOptions": isInput, "ExportOptions": isInput,
	"Client": isInput, // as part of an Event it has an address, a user agent and a locale

	"Config": isConfig, "Key": isConfig, "Keys": isConfig, "Policy": isConfig, "PasswordPolicy": isConfig, "SessionPolicy": isConfig, "Lifetime": isConfig,
	"FactorPolicy": isConfig, "MessagePolicy": isConfig, "MemberPolicy": isConfig, "AddressPolicy": isConfig, "GuessingPolicy": isConfig, "Outbox": isConfig, "Receiver": isConfig,

	"Error": isFailure, "ThrottledError": isFailure, "MoreFactorsError": isFailure, "UnverifiedEmailError": isFailure, "OAuth2Error": isFailure, "UnknownPasskeyError": isFailure, "RecordError": isFailure,

	"Observation": isTold,

	"Portable": isRecord, "PortableUser": isRecord, "PortableState": isRecord, "PortableAuthenticator": isRecord, "PortableRecoveryCode": isRecord,
	"PortableIdentity": isRecord, "PortablePasskey": isRecord, "PortableTeam": isRecord, "PortableMembership": isRecord,
}

// exportedStructs returns the names of the exported structs of the root package.
func exportedStructs(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			types, is := decl.(*ast.GenDecl)
			if !is || types.Tok != token.TYPE {
				continue
			}
			for _, spec := range types.Specs {
				spec := spec.(*ast.TypeSpec)
				if _, is := spec.Type.(*ast.StructType); is && spec.Name.IsExported() {
					names[spec.Name.Name] = true
				}
			}
		}
	}
	return names
}

// Every exported struct is an output or has a reason why it is none, and a result of a method is
// never an input or a record.
func TestEveryStructIsAnOutputOrNone(t *testing.T) {
	structs := exportedStructs(t)
	known := make(map[string]bool)
	for _, typ := range outputs {
		known[typ.Name()] = true
	}
	for name := range notOutputs {
		if known[name] {
			t.Errorf("%s is in both lists", name)
		}
		known[name] = true
	}
	for name := range structs {
		if !known[name] {
			t.Errorf("%s is in no list", name)
		}
	}
	for name := range known {
		if !structs[name] {
			t.Errorf("%s does not exist", name)
		}
	}
	results := 0
	for _, handle := range []reflect.Type{
		reflect.TypeFor[*latchkey.Engine](), reflect.TypeFor[*latchkey.Guest](), reflect.TypeFor[*latchkey.Account](), reflect.TypeFor[*latchkey.Pending](),
		reflect.TypeFor[*latchkey.Unverified](), reflect.TypeFor[*latchkey.Users](), reflect.TypeFor[*latchkey.Teams](),
	} {
		for i := range handle.NumMethod() {
			method := handle.Method(i)
			for j := range method.Type.NumOut() {
				result := method.Type.Out(j)
				for result.Kind() == reflect.Pointer || result.Kind() == reflect.Slice {
					result = result.Elem()
				}
				if !structs[result.Name()] || result.PkgPath() != reflect.TypeFor[latchkey.User]().PkgPath() {
					continue
				}
				results++
				if why := notOutputs[result.Name()]; why == isInput || why == isRecord {
					t.Errorf("%v.%s returns %v, which is %s", handle, method.Name, result, why)
				}
			}
		}
	}
	if len(structs) < 80 || results < 100 {
		t.Errorf("%d structs and %d results were found", len(structs), results)
	}
}

// jsonName returns the name of a field in camel case: UserID is userId, MFAUpdatedAt is
// mfaUpdatedAt.
func jsonName(field string) string {
	capital := func(i int) bool { return field[i] >= 'A' && field[i] <= 'Z' }
	name := []byte(field)
	for i := range name {
		begins := i > 0 && (!capital(i-1) || i+1 < len(name) && !capital(i+1)) // a word
		if capital(i) && !begins {
			name[i] += 'a' - 'A'
		}
	}
	return string(name)
}

// holdsSecret reports whether a field holds a secret that the outputs themselves do not leave out.
func holdsSecret(typ reflect.Type) bool {
	switch {
	case typ == reflect.TypeFor[latchkey.Secret]():
		return true
	case slices.Contains(outputs, typ) || typ == reflect.TypeFor[time.Time]():
		return false
	}
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return holdsSecret(typ.Elem())
	case reflect.Struct:
		for i := range typ.NumField() {
			if holdsSecret(typ.Field(i).Type) {
				return true
			}
		}
	}
	return false
}

// Every field of an output has a name in camel case, unless it holds a secret.
func TestEveryOutputHasNamesInJSON(t *testing.T) {
	dollar := []string{"ID", "CreatedAt", "UpdatedAt"}                                  // of the rows that have them in the documents
	others := map[string]string{"ImportResult.Err": "error", "LimitResult.Window": "-"} // the limiter's own
	for _, typ := range outputs {
		_, isRow := typ.FieldByName("CreatedAt")
		isRow = isRow || typ == reflect.TypeFor[latchkey.Log]()
		seen := make(map[string]bool)
		for _, field := range reflect.VisibleFields(typ) {
			tag, tagged := field.Tag.Lookup("json")
			name, option, _ := strings.Cut(tag, ",")
			which := typ.Name() + "." + field.Name
			if field.Anonymous { // its fields are among those that follow
				if tagged {
					t.Errorf("%s is embedded and has a name", which)
				}
				continue
			}
			want := jsonName(field.Name)
			switch {
			case holdsSecret(field.Type):
				want = "-"
			case others[which] != "":
				want = others[which]
			case isRow && slices.Contains(dollar, field.Name):
				want = "$" + want
			}
			if name != want {
				t.Errorf("%s is %q in JSON, want %q", which, name, want)
			}
			if name != "-" && seen[strings.ToLower(name)] {
				t.Errorf("%s: there are two %s", which, name)
			}
			seen[strings.ToLower(name)] = true
			mayLack := field.Type == reflect.TypeFor[time.Time]() || field.Type.Kind() == reflect.Pointer || field.Type.Kind() == reflect.Interface
			inRows := typ == reflect.TypeFor[latchkey.Device]() // sessions are stored with this form
			if option != "" && (option != "omitzero" || !mayLack) && !inRows {
				t.Errorf("%s has the option %s", which, option)
			}
		}
	}
}

const plantedText = "hide-me-0123456789"

// fill gives a value and all that it holds something that is not zero. Secrets are the planted
// text.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case latchkey.Secret:
		v.Set(reflect.ValueOf(hidden.New(plantedText)))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC)))
		return
	case json.RawMessage:
		v.SetBytes([]byte(`{"theme":"dark"}`))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("text")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.SetMapIndex(key, value)
	case reflect.Interface:
		if v.Type() == reflect.TypeFor[error]() {
			v.Set(reflect.ValueOf(latchkey.ErrTeamNotFound))
			break
		}
		session := new(latchkey.Session)
		fill(reflect.ValueOf(session).Elem())
		v.Set(reflect.ValueOf(session))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

// members returns the names of the members of an object.
func members(t *testing.T, text []byte) []string {
	t.Helper()
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return slices.Sorted(maps.Keys(object))
}

// A full value shows no secret and no mask, and a zero one can be encoded.
func TestNoOutputShowsASecretInJSON(t *testing.T) {
	for _, typ := range outputs {
		zero := reflect.New(typ)
		if _, err := json.Marshal(zero.Interface()); err != nil {
			t.Errorf("zero: %v", err)
		}
		full := reflect.New(typ)
		fill(full.Elem())
		for _, value := range []any{full.Interface(), full.Elem().Interface()} {
			text, err := json.Marshal(value)
			if err != nil || strings.Contains(string(text), plantedText) || strings.Contains(string(text), hidden.Mask) || strings.Contains(string(text), "null") {
				t.Errorf("%v: %s, %v", typ, text, err)
			}
		}
	}
}

// The documented names, of those that Latchkey has, and its own beside them.
func TestOutputsHaveTheDocumentedNames(t *testing.T) {
	for _, c := range []struct {
		typ                     reflect.Type
		documented, own, hidden string // hidden are documented names that are left out
	}{
		{
			typ: reflect.TypeFor[latchkey.User](),
			documented: "$id $createdAt $updatedAt name registration status labels passwordUpdate email phone emailVerification phoneVerification mfa prefs targets accessedAt " +
				"emailCanonical emailIsFree emailIsDisposable emailIsCorporate emailIsCanonical impersonator impersonatorUserId",
			hidden: "password hash hashOptions",
		},
		{
			typ:        reflect.TypeFor[latchkey.Session](),
			documented: "$id $createdAt $updatedAt userId expire provider providerUid ip current factors mfaUpdatedAt",
			own:        "accessedAt device",
			hidden:     "secret providerAccessToken providerAccessTokenExpiry providerRefreshToken",
		},
		{
			typ: reflect.TypeFor[latchkey.Device](),
			documented: "osCode osName osVersion clientType clientCode clientName clientVersion clientEngine clientEngineVersion deviceName deviceBrand deviceModel " +
				"countryCode",
		},
		{typ: reflect.TypeFor[latchkey.Token](), documented: "$id $createdAt userId expire phrase", hidden: "secret"},
		{typ: reflect.TypeFor[latchkey.Log](), documented: "event userId userEmail userName mode ip time", own: "$id resource device reason count"},
		{
			typ:        reflect.TypeFor[latchkey.Identity](),
			documented: "$id $createdAt $updatedAt userId provider providerUid providerEmail providerAccessTokenExpiry",
			own:        "issuer providerEmailVerified",
			hidden:     "providerAccessToken providerRefreshToken",
		},
		{typ: reflect.TypeFor[latchkey.Team](), documented: "$id $createdAt $updatedAt name total prefs"},
		{
			typ:        reflect.TypeFor[latchkey.Membership](),
			documented: "$id $createdAt $updatedAt userId userName userEmail userPhone teamId teamName invited joined confirm mfa userAccessedAt roles",
			own:        "expire",
		},
		{typ: reflect.TypeFor[latchkey.Target](), documented: "$id $createdAt $updatedAt name userId providerId providerType identifier expired"},
		{
			typ:        reflect.TypeFor[latchkey.MFAFactors](),
			documented: "totp email phone recoveryCode custom",
			own:        "passkey recoveryCodesLeft helps strong passwordHelps providerHelps",
		},
		{typ: reflect.TypeFor[latchkey.MFAChallenge](), documented: "$id $createdAt userId expire", hidden: "code"},
		{typ: reflect.TypeFor[latchkey.MFAAuthenticator](), hidden: "secret uri"},
		{typ: reflect.TypeFor[latchkey.MFARecoveryCodes](), own: "left", hidden: "recoveryCodes"},
		{typ: reflect.TypeFor[latchkey.Passkey](), own: "$id $createdAt $updatedAt userId name provider usedAt synced syncable secondFactor transports clonedAt"},
		{typ: reflect.TypeFor[latchkey.PasskeyList](), own: "total passkeys"},
		{typ: reflect.TypeFor[latchkey.PasskeyCeremony](), own: "options expire"},
		{typ: reflect.TypeFor[latchkey.PasskeySignals](), own: "accepted details"},
		{typ: reflect.TypeFor[latchkey.UserList](), documented: "total users", own: "next prev"},
		{typ: reflect.TypeFor[latchkey.SessionList](), documented: "total sessions", own: "next prev"},
		{typ: reflect.TypeFor[latchkey.LogList](), documented: "total logs", own: "next prev"},
		{typ: reflect.TypeFor[latchkey.IdentityList](), documented: "total identities", own: "next prev"},
		{typ: reflect.TypeFor[latchkey.TargetList](), documented: "total targets", own: "next prev"},
		{typ: reflect.TypeFor[latchkey.TeamList](), documented: "total teams", own: "next prev"},
		{typ: reflect.TypeFor[latchkey.MembershipList](), documented: "total memberships", own: "next prev"},
	} {
		full := reflect.New(c.typ)
		fill(full.Elem())
		text, err := json.Marshal(full.Interface())
		if err != nil {
			t.Fatal(err)
		}
		got, want := members(t, text), strings.Fields(c.documented+" "+c.own)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%v has %q, want %q", c.typ, got, want)
		}
		for _, name := range strings.Fields(c.hidden) {
			if slices.Contains(got, name) {
				t.Errorf("%v shows %s", c.typ, name)
			}
		}
	}
}

func TestErrorsInJSON(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Enrolled(latchkey.NewMFAAuthenticator{})
		session, _ := k.Owing(k.Visitor)
		owes := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()))
		for want, err := range map[string]error{
			`{"type":"general_argument_invalid","message":"Not an e-mail address","argument":"email","reason":"malformed"}`:               kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: "ada", Password: kit.Password})),
			`{"type":"general_rate_limit_exceeded","message":"Too many attempts; try again later","argument":"","reason":""}`:             &latchkey.ThrottledError{RetryAfter: time.Minute},
			`{"type":"user_more_factors_required","message":"Another factor is required","argument":"","reason":""}`:                      owes,
			`{"type":"user_email_verification_required","message":"The e-mail address must be verified first","argument":"","reason":""}`: &latchkey.UnverifiedEmailError{Unverified: new(latchkey.Unverified)},
		} {
			answer, is := errors.AsType[*latchkey.Error](err)
			if !is {
				k.Fatalf("%T", err)
			}
			if text, err := json.Marshal(answer); err != nil || string(text) != want {
				k.Errorf("%s, want %s, %v", text, want, err)
			}
			text, encoding := json.Marshal(err) // as it is: without the handle
			if err != error(answer) && (encoding != nil || string(text) != "{}") {
				k.Errorf("%T: %s, %v", err, text, encoding)
			}
		}
	})
}

// encoded returns the JSON of a value, which must not show a mask, a null or one of the secrets.
func encoded(k *kit.Kit, value any, secrets ...latchkey.Secret) string {
	k.Helper()
	text, err := json.Marshal(value)
	k.Must(err)
	for _, hint := range []string{hidden.Mask, "null"} {
		if strings.Contains(string(text), hint) {
			k.Errorf("%T shows %s: %s", value, hint, text)
		}
	}
	for _, secret := range secrets {
		if secret.IsZero() || strings.Contains(string(text), secret.Reveal()) {
			k.Errorf("%T shows a secret, or has none: %s", value, text)
		}
	}
	return string(text)
}

func TestWhatAnEngineReturnsShowsNoSecretInJSON(t *testing.T) {
	kit.OnEveryStore(t, keepsTokens, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		if text := encoded(k, session, session.Secret); !strings.Contains(text, `"userId":"`+account.UserID()+`"`) || !strings.Contains(text, `"factors":["password"]`) {
			k.Error(text)
		}
		made, err := account.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})
		k.Must(err)
		encoded(k, made, made.Secret, made.URI)
		k.Confirmed(account, latchkey.NewMFAAuthenticator{})
		codes, err := account.CreateMFARecoveryCodes(k.Ctx)
		k.Must(err)
		if text := encoded(k, codes, codes.Codes...); text != `{"left":6}` {
			k.Error(text)
		}
		factors, err := account.MFAFactors(k.Ctx)
		k.Must(err)
		if text := encoded(k, factors, codes.Codes...); !strings.Contains(text, `"helps":{"totp":true,"email":false,"phone":false,"recoveryCode":true,"custom":false,"passkey":false}`) {
			k.Error(text)
		}
		engine := k.Configured(func(c *latchkey.Config) { c.CustomCodes = true })
		asker, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		asked, err := asker.CreateMFAChallenge(k.Ctx, latchkey.FactorCustom)
		k.Must(err)
		question, err := engine.Users().GetMFAChallenge(k.Ctx, account.UserID(), asked.ID)
		k.Must(err)
		encoded(k, question, question.Code)
		rotated, err := account.RotateSession(k.Ctx)
		k.Must(err)
		encoded(k, rotated, rotated.Secret, session.Secret)

		// Tokens that the server reads, and their redemption.
		custom, err := k.Users().CreateToken(k.Ctx, account.UserID(), 0, 0)
		k.Must(err)
		encoded(k, custom, custom.Secret)
		link, err := k.Users().Guest(kit.Client).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Bob})
		k.Must(err)
		encoded(k, link, link.Secret)
		redeemed, err := k.Visitor.CreateSession(k.Ctx, link.UserID, link.Secret.Reveal())
		k.Must(err)
		encoded(k, redeemed, redeemed.Secret, link.Secret)

		// A sign-in by a provider.
		began := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme"})
		encoded(k, began.OAuth2Start, began.Binding)
		carol := acmeAda
		carol.Subject, carol.Email = "carol-1", "carol@example.org"
		result, err := k.Visitor.FinishOAuth2(k.Ctx, began.Callback(k.Acme.Code(carol)))
		k.Must(err)
		if text := encoded(k, result, result.Session.Secret); strings.Contains(text, `"token"`) || !strings.Contains(text, `"providerUid":"carol-1"`) {
			k.Error(text)
		}
		began = k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme", Token: true})
		handed, err := k.Visitor.FinishOAuth2(k.Ctx, began.Callback(k.Acme.Code(carol)))
		k.Must(err)
		encoded(k, handed, handed.Token.Secret)
		linked, err := k.Visitor.Authenticate(k.Ctx, result.Session.Secret.Reveal())
		k.Must(err)
		tokens, err := linked.ProviderTokens(k.Ctx, result.Identity.ID)
		k.Must(err)
		encoded(k, tokens, tokens.Access, tokens.Refresh)

		// An invitation that is accepted without a session.
		team, err := linked.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Bakers"})
		k.Must(err)
		if text := encoded(k, team); !strings.Contains(text, `"prefs":{}`) {
			k.Error(text)
		}
		open, err := linked.Teams().CreateMembership(k.Ctx, team.ID, latchkey.NewMembership{Email: "dora@example.org", Roles: []string{}, URL: kit.JoinURL})
		k.Must(err)
		invitation := k.InvitationTo("dora@example.org")
		if text := encoded(k, open, invitation.Secret); !strings.Contains(text, `"roles":[]`) || strings.Contains(text, `"joined"`) {
			k.Error(text)
		}
		accepted, err := k.Visitor.AcceptInvitation(k.Ctx, invitation)
		k.Must(err)
		encoded(k, accepted, accepted.Session.Secret, invitation.Secret)

		all := []latchkey.Secret{session.Secret, rotated.Secret, redeemed.Secret, result.Session.Secret, accepted.Session.Secret, link.Secret, custom.Secret, invitation.Secret, made.Secret}
		for id := range map[string]bool{account.UserID(): true, redeemed.UserID: true, linked.UserID(): true, accepted.Session.UserID: true} {
			user, err := k.Users().Get(k.Ctx, id)
			k.Must(err)
			encoded(k, user, all...)
			sessions, err := k.Users().Sessions(k.Ctx, id)
			k.Must(err)
			encoded(k, sessions, all...)
			logs, err := k.Users().Logs(k.Ctx, id)
			k.Must(err)
			encoded(k, logs, all...)
			places, err := k.Users().Memberships(k.Ctx, id)
			k.Must(err)
			encoded(k, places, all...)
		}
		told := k.Told.Take()
		if len(told) < 10 {
			k.Errorf("%d events", len(told))
		}
		for _, e := range told {
			if text := encoded(k, e, all...); !strings.Contains(text, `"client":{"ip":"`+kit.Client.IP.String()+`"`) && e.Mode != "server" {
				k.Error(text)
			}
		}
	})
}

// Lists without elements are [], and a time that is not set is no member.
func TestEmptyListsInJSON(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{})
		k.Must(err)
		if text := encoded(k, user); !strings.Contains(text, `"labels":[],"prefs":{},"targets":[]`) || strings.Contains(text, "passwordUpdate") || !strings.Contains(text, `"email":""`) {
			k.Error(text)
		}
		lists := map[string]any{}
		add := func(name string, list any, err error) {
			k.Must(err)
			lists[name] = list
		}
		sessions, err := k.Users().Sessions(k.Ctx, user.ID)
		add("sessions", sessions, err)
		identities, err := k.Users().Identities(k.Ctx)
		add("identities", identities, err)
		targets, err := k.Users().Targets(k.Ctx, user.ID)
		add("targets", targets, err)
		memberships, err := k.Users().Memberships(k.Ctx, user.ID)
		add("memberships", memberships, err)
		teams, err := k.Teams().List(k.Ctx)
		add("teams", teams, err)
		users, err := k.Users().List(k.Ctx, query.Equal("name", "unknown"))
		add("users", users, err)
		logs, err := k.Users().Logs(k.Ctx, user.ID, query.Offset(1_000))
		add("logs", logs, err)
		for name, list := range lists {
			if text := encoded(k, list); !strings.Contains(text, `"`+name+`":[]`) || !strings.HasSuffix(text, `"next":"","prev":""}`) {
				k.Error(text)
			}
		}
		slowed, err := k.Users().Throttled(k.Ctx, user.ID)
		k.Must(err)
		if text := encoded(k, slowed); text != "[]" {
			k.Error(text)
		}
		resealed, err := k.Reseal(k.Ctx)
		k.Must(err)
		if text := encoded(k, resealed); text != `{"rows":0,"left":{}}` {
			k.Error(text)
		}
	})
}

// A profile comes back from its JSON as it was, so that a host may keep it for a while.
func TestAProfileComesBackFromJSON(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, user.ID, []string{"staff"})))
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.Teams().Create(k.Ctx, latchkey.NewTeam{ID: "bakers", Name: "Bakers"})))
		profile, err := account.Profile(k.Ctx)
		k.Must(err)
		text := encoded(k, profile)
		if !strings.Contains(text, `"roles":["any",`) || !strings.Contains(text, `"team:bakers/owner"`) || !strings.Contains(text, `"label:staff"`) {
			k.Error(text)
		}
		var back latchkey.Profile
		k.Must(json.Unmarshal([]byte(text), &back))
		k.Same("user", back.User, profile.User)
		if !back.Roles.Equal(profile.Roles) || back.Roles.String() != profile.Roles.String() {
			k.Errorf("%v, want %v", back.Roles, profile.Roles)
		}
	})
}

// An import tells why a record is refused.
func TestResultsOfAnImportInJSON(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var results []latchkey.ImportResult
		records := func(yield func(latchkey.Portable, error) bool) {
			_ = yield(latchkey.Portable{Line: 1, User: &latchkey.PortableUser{ID: "ada", Email: kit.Ada}}, nil) &&
				yield(latchkey.Portable{Line: 2, User: &latchkey.PortableUser{ID: "bob", Email: "bob"}}, nil) &&
				yield(latchkey.Portable{}, &latchkey.RecordError{Line: 3, Reason: "it is no object"})
		}
		done, err := k.Import(k.Ctx, records, latchkey.ImportOptions{OnResult: func(r latchkey.ImportResult) { results = append(results, r) }})
		k.Must(err)
		if text := encoded(k, done); text != `{"created":1,"existed":0,"refused":2}` {
			k.Error(text)
		}
		want := `[{"line":1,"kind":"user","id":"ada","outcome":"created"},` +
			`{"line":2,"kind":"user","id":"bob","outcome":"refused","error":{"type":"general_argument_invalid","message":"Not an e-mail address","argument":"email","reason":"malformed"}},` +
			`{"line":3,"kind":"","id":"","outcome":"refused","error":{"line":3,"reason":"it is no object"}}]`
		if text := encoded(k, results); text != want {
			k.Error(text)
		}
	})
}
